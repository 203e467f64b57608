// What a request's networks are priced on.
import { type CostModel, memory } from '../hardware/index.ts'
import { targetModel } from '../hardware/targets.ts'

export const hardwareOf = ({ target }: { readonly target?: string }): CostModel => (target === undefined ? memory : targetModel(target))
