// From the flags of `search` to its request, checked.
import { z } from 'zod'
import { UsageError } from '../errors.ts'
import { isGraphFile } from '../data/graph-dataset.ts'
import { evolutionDefaults } from '../search/evolution.ts'
import type { SearchSpec } from '../study/api.ts'
import { flagName } from './flag-name.ts'
import * as fields from './fields.ts'
import { graphFinalists } from './study-flags.ts'
import { fieldsFor, studyFields, studySpec } from './study-request.ts'

const schema = z.object({
  ...studyFields,
  space: fields.choice(['kws-e2e', 'kws-mfcc', 'cenet', 'mobile-cifar', 'graph', 'network']).default('kws-e2e'),
  network: fields.path('a built-in network such as ds-cnn-s, or an architecture.json').optional(),
  search: fields.choice(['proxyless', 'joint', 'random']).default('proxyless'),
  train: fields.choice(['sandwich', 'gates']).optional(),
  pick: fields.choice(['evolution', 'gates']).optional(),
  candidates: fields.integer(1, 100_000).optional(),
  start: fields.choice(['shared', 'scratch']).optional(),
  finalists: fields.integer(1, 1000).optional(),
  filters: fields.integer(1, 1024).optional(),
  frontEnd: fields.choice(['sinc', 'conv']).optional(),
})

/** `args`: the flags as typed, for the command that the run remembers. @throws UsageError naming the flag that is wrong. */
export function searchRequest(options: Record<string, unknown>, args: readonly string[]): { spec: SearchSpec; json: boolean } {
  const flags = fields.validate(schema.extend(fieldsFor(options.data)), options)
  const { space, search, filters, frontEnd, network, json } = flags
  if (frontEnd !== undefined && space !== 'kws-e2e')
    throw new UsageError(`--front-end ${frontEnd}: only --space kws-e2e has a choice of first layer`)
  if (filters !== undefined && space !== 'kws-e2e' && space !== 'kws-mfcc')
    throw new UsageError(`--filters ${filters}: --space ${space} has no such choice`)
  if (flags.streaming && space === 'cenet')
    throw new UsageError('--streaming: --space cenet has graph modules, which look at a whole clip; choose another space')
  if (network !== undefined && space !== 'network') throw new UsageError(`--network ${network}: needs --space network`)
  if (network === undefined && space === 'network') throw new UsageError('--space network: needs --network, whose bits are to be chosen')
  if (space === 'network' && search !== 'joint') throw new UsageError('--space network: has nothing but bits to choose; add --search joint')
  if (space === 'graph' && search !== 'joint')
    throw new UsageError(`--search ${search}: --space graph has sizes to choose; use --search joint`)
  const spaceOptions = {
    ...(filters !== undefined && { filters }),
    ...(frontEnd !== undefined && { frontEnd }),
    ...(network !== undefined && { network }),
  }
  const study = studySpec(flags, 'search', args)
  if (search !== 'joint') {
    const other = (['train', 'pick', 'candidates', 'start', 'finalists'] as const).find((name) => flags[name] !== undefined)
    if (other !== undefined) throw new UsageError(`--${other}: needs --search joint`)
    return { spec: { ...study, space, search, spaceOptions }, json }
  }
  for (const name of ['weightBits', 'activationBits'] as const)
    if (flags[name] !== 8)
      throw new UsageError(`${flagName(name)} ${flags[name]}: --search joint decides the bits of every layer; leave it away`)
  const {
    train = 'sandwich',
    pick = train === 'gates' ? 'gates' : 'evolution',
    candidates = evolutionDefaults.candidates,
    start = 'shared',
    finalists = isGraphFile(flags.data) ? graphFinalists : 1,
  } = flags
  if (pick === 'gates' && train !== 'gates') throw new UsageError('--pick gates: needs --train gates; a sandwich trains none')
  const joint = { train, pick, candidates, start, ...(finalists > 1 && { finalists }) }
  return { spec: { ...study, weightBits: 'searched', activationBits: 'searched', space, search, spaceOptions, joint }, json }
}
