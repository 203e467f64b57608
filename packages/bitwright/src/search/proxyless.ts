// Differentiable architecture search with binary gates (ProxylessNAS in gradient mode; arXiv 2104.06666 section 2 and its predecessor
// 2012.10138): weights warm up on uniformly sampled paths, then weight steps on training clips alternate with architecture steps on
// validation clips. Ours: fewer epochs than the papers (their data is ten times larger), an exponent of the operations term that follows the
// budget, and a final choice among the most probable networks that fit it, by their shared-weight accuracy.
import { Random } from '@bitwright/engine'
import type { SampleSource } from '../training/sample-source.ts'
import { schedule } from '../training/trainer.ts'
import { RunError } from '../errors.ts'
import { requireAdditive } from '../spaces/decisions.ts'
import { type Budget, probableWithin } from './budget.ts'
import { Gates } from './gates.ts'
import type { Between, Candidate, SearchEpoch, Strategy } from './strategy.ts'
import type { Supernet } from './supernet.ts'

export interface ProxylessOptions {
  readonly warmupEpochs: number
  readonly searchEpochs: number
  readonly seed: number
  readonly batchSize: number
  /** Peak of the weights' cosine schedules. */
  readonly learningRate: number
  readonly architectureRate: number
  /** An architecture step follows every this many weight steps. */
  readonly architectureEvery: number
  /** Networks scored with shared weights at the end. */
  readonly finalists: number
  /** Exponent of the operations term; follows the budget where there is one for MACs. */
  readonly beta: number
}

export const proxylessDefaults = { architectureRate: 0.05, architectureEvery: 5, finalists: 12, beta: 1 } as const

export function proxyless(supernet: Supernet, source: SampleSource, budget: Budget, options: ProxylessOptions): Strategy {
  const space = requireAdditive(supernet.space, 'proxyless')
  const { seed, batchSize, warmupEpochs, searchEpochs } = options
  const { training, validation } = { training: source.dataset.splits.train, validation: source.dataset.splits.validation }
  const largest = space.optionMacs.reduce((sum, macs) => sum + Math.max(...macs), space.fixedMacs)
  const limit = budget.options.budget.macs
  const gates = new Gates(
    {
      optionMacs: space.optionMacs,
      fixedMacs: space.fixedMacs,
      referenceMacs: limit ?? largest,
      beta: options.beta,
      adaptive: limit !== undefined,
    },
    new Random(seed, 'gates'),
  )
  let validationStep = 0

  /** The next batch of validation clips; every pass over them has its own order. */
  const validationBatch = () => {
    const perPass = Math.max(1, Math.floor(validation.length / batchSize))
    const pass = Math.floor(validationStep / perPass)
    const order = new Random(seed, 'validation', pass).permutation(validation.length)
    const at = (validationStep++ % perPass) * batchSize
    return Array.from(order.subarray(at, at + batchSize), (i) => validation[i])
  }

  async function epoch(index: number, between: Between): Promise<SearchEpoch | undefined> {
    const warm = index < warmupEpochs
    const stage = warm ? 'warmup' : 'search'
    const inStage = warm ? index : index - warmupEpochs
    const of = warm ? warmupEpochs : searchEpochs
    const order = source.epochOrder(seed, index)
    const steps = Math.max(1, Math.floor(order.length / batchSize))
    let [loss, correct, rate] = [0, 0, 0]
    for (let step = 0; step < steps; step++) {
      rate = options.learningRate * schedule(inStage * steps + step, of * steps)
      const path = gates.sample(new Random(seed, 'path', index, step), warm)
      const result = supernet.weightStep(path, order.slice(step * batchSize, (step + 1) * batchSize), index, rate)
      loss += result.loss
      correct += result.correct
      if (!warm && (inStage * steps + step + 1) % options.architectureEvery === 0) {
        const sampled = gates.sample(new Random(seed, 'gate', index, step), false)
        const { loss: crossEntropy, dGates } = supernet.gateGradients(sampled, validationBatch())
        // the architecture's rate rises over the search (2012.10138: lr (1 + cos(pi (1 + t / 2T))))
        const t = (inStage * steps + step) / (of * steps)
        gates.update(crossEntropy, dGates, options.architectureRate * (1 + Math.cos(Math.PI * (1 + t / 2))))
      }
      await new Promise((resolve) => setImmediate(resolve))
      if (!between(step + 1, steps)) return undefined
    }
    return {
      stage,
      index: inStage,
      of,
      loss: loss / steps,
      accuracy: correct / (steps * Math.min(batchSize, order.length)),
      learningRate: rate,
      expectedMacs: gates.expectedMacs(),
    }
  }

  async function choose(offer: (candidate: Candidate) => void, between: Between): Promise<Candidate | undefined> {
    let best: Candidate | undefined
    let offered = 0
    for (const admitted of probableWithin(space, budget, gates.probabilities())) {
      const score = await supernet.sharedAccuracy(admitted.network, training, validation)
      const candidate: Candidate = { ...admitted, score, scoreKind: 'shared' }
      offer(candidate)
      offered++
      if (!best || score > best.score) best = candidate
      if (!between(offered, options.finalists)) return undefined
      if (offered === options.finalists) break
    }
    if (!best) throw new RunError(`search: no member of ${space.name} fits the budget; raise the limit (--macs, --flash, --ram)`)
    return best
  }

  return {
    name: 'proxyless',
    epochs: warmupEpochs + searchEpochs,
    epoch,
    choose,
    state: () => ({ weights: supernet.state(), gates: gates.state(), validationStep }),
    restore: (state) => {
      const saved = state as { weights: ReturnType<Supernet['state']>; gates: number[][]; validationStep: number }
      supernet.restore(saved.weights)
      gates.restore(saved.gates)
      validationStep = saved.validationStep
    },
    dispose: () => supernet.dispose(),
  }
}
