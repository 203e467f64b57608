// From the flags of `search` to its request, checked.
import { z } from 'zod'
import { UsageError } from '../errors.ts'
import type { SearchSpec } from '../study/api.ts'
import * as fields from './fields.ts'
import { studyFields, studySpec } from './study-request.ts'

const schema = z.object({
  ...studyFields,
  space: fields.choice(['kws-e2e', 'kws-mfcc']).default('kws-e2e'),
  search: fields.choice(['proxyless', 'random']).default('proxyless'),
  filters: fields.integer(1, 1024).optional(),
  frontEnd: fields.choice(['sinc', 'conv']).optional(),
})

/** `args`: the flags as typed, for the command that the run remembers. @throws UsageError naming the flag that is wrong. */
export function searchRequest(options: Record<string, unknown>, args: readonly string[]): { spec: SearchSpec; json: boolean } {
  const flags = fields.validate(schema, options)
  const { space, search, filters, frontEnd, json } = flags
  if (frontEnd !== undefined && space !== 'kws-e2e')
    throw new UsageError(`--front-end ${frontEnd}: only --space kws-e2e has a choice of first layer`)
  const spaceOptions = { ...(filters !== undefined && { filters }), ...(frontEnd !== undefined && { frontEnd }) }
  return { spec: { ...studySpec(flags, 'search', args), space, search, spaceOptions }, json }
}
