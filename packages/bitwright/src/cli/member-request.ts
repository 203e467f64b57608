// Which member of a joint search's front `train --from RUN` is to train, if that is what it asks for.
import { UsageError } from '../errors.ts'
import type { BudgetSpec, TrainSpec } from '../study/api.ts'
import { chooseMember, frontOfRun, hasFront } from '../study/front-of-run.ts'

export function memberRequest(
  { budget }: { readonly budget: BudgetSpec },
  {
    from,
    member,
    network,
  }: { readonly from?: string | undefined; readonly member?: number | undefined; readonly network?: string | undefined },
): Partial<TrainSpec> {
  if (member !== undefined && from === undefined) throw new UsageError('--member: needs --from, the folder of a joint search')
  if (from === undefined || network !== undefined) {
    if (member !== undefined) throw new UsageError('--member: the front says the network; leave --network away')
    return {}
  }
  const isBudget = Object.keys(budget).length > 0
  if (member === undefined && !(isBudget && hasFront(from))) return {}
  return { member: chooseMember(from, frontOfRun(from), member, budget), weightBits: 'searched', activationBits: 'searched' }
}
