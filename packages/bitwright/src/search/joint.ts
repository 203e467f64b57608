// Architecture and widths in one search (HQNAS, arXiv 2210.08485): one supernet shares weights between paths and bits between widths, and
// what comes out is a front. The paper leaves open how weights and choices are trained; both ways here are put together from others, and
// what is ours is said in docs/hqnas.md.
// `sandwich` (Yu et al., "BigNAS", arXiv 2003.11142): every step trains the largest member, the smallest and two at random, all but the
// largest on the largest's answers, along the sum of their gradients. `gates`: sampled paths, and gates over all choices (joint-gates.ts).
// Either starts in float; the quantizers' ranges then begin at what float gave.
import { Random } from '@bitwright/engine'
import type { Sample } from '../data/dataset.ts'
import { RunError } from '../errors.ts'
import { canonicalDecisions, choicesOf, extremes } from '../spaces/decisions.ts'
import { bitsChoiceName, type JointSpace } from '../spaces/joint.ts'
import type { SharedQuantization } from '../training/shared-quantization.ts'
import { DivergedError, schedule } from '../training/trainer.ts'
import { limitedCosts } from '../hardware/limits.ts'
import type { Admitted, Budget } from './budget.ts'
import { Evolution, evolutionDefaults, type EvolutionState, scoreOrReason } from './evolution.ts'
import { frontOf } from './front.ts'
import { staysIn } from './incumbent.ts'
import { JointGates } from './joint-gates.ts'
import { mostProbable } from './probable.ts'
import { RememberingSource } from './remembering-source.ts'
import type { Between, Candidate, SearchEpoch, Strategy } from './strategy.ts'
import type { Supernet } from './supernet.ts'
import { widestWithin } from './widths.ts'

export interface JointOptions {
  readonly train: 'sandwich' | 'gates'
  readonly pick: 'evolution' | 'gates'
  readonly warmupEpochs: number
  readonly searchEpochs: number
  readonly seed: number
  readonly batchSize: number
  /** Peak of one schedule over all epochs. */
  readonly learningRate: number
  /** Networks scored with shared weights. */
  readonly candidates: number
  readonly population: number
  /** Validation samples that candidates are scored on. */
  readonly scoredSamples: number
  readonly architectureRate: number
  /** An architecture step follows every this many weight steps. */
  readonly architectureEvery: number
  /** Choices whose options are priced in an architecture step. */
  readonly swappedChoices: number
  /** Goes on from shared weights and ranges of another search, given by `restore`. */
  readonly warm?: {
    /** First members of the first generation. */
    readonly founders: readonly (readonly number[])[]
    /** Of a network that is deployed: another one is chosen where it is better by more than chance. */
    readonly incumbent?: readonly number[]
  }
}

export const jointDefaults = {
  ...evolutionDefaults,
  scoredSamples: 1000,
  architectureRate: 0.05,
  architectureEvery: 5,
  swappedChoices: 6,
} as const

/** Of a search that is over, what another one may begin with: everything but what it scored. */
export function warmState(state: unknown): unknown {
  const { weights, ...rest } = state as JointState
  return { ...rest, weights: { ...weights, macs: 0 }, validationStep: 0, evolution: { generation: 0, population: [], scores: [] } }
}

/** Decisions of all that a search scored. */
export const scoredDecisions = (state: unknown): (readonly number[])[] =>
  (state as JointState).evolution.scores.map(({ decisions }) => decisions)

/** Members of a sandwich step beside the largest and the smallest. */
const randomMembers = 2

interface JointState {
  readonly weights: ReturnType<Supernet['state']>
  readonly quantization: number[][]
  readonly gates: number[][]
  readonly validationStep: number
  readonly evolution: EvolutionState
}

/** `source` is the one the supernet was given, so that what candidates are scored on is prepared once. */
export function joint(
  space: JointSpace,
  supernet: Supernet,
  quantization: SharedQuantization,
  source: RememberingSource,
  budget: Budget,
  options: JointOptions,
): Strategy {
  const { seed, batchSize, warmupEpochs, searchEpochs } = options
  const { train: training, validation } = source.dataset.splits
  const { largest, smallest } = extremes(space)
  const limits = limitedCosts.flatMap((key) =>
    budget.options.budget[key] === undefined ? [] : [{ key, limit: budget.options.budget[key] }],
  )
  const gates = new JointGates(
    space.choices,
    limits.map(({ limit }) => limit),
    new Random(seed, 'gates'),
  )
  const scored = Array.from(
    new Random(seed, 'scored').permutation(validation.length).subarray(0, options.scoredSamples),
    (i) => validation[i],
  )
  const scoreOf = (network: Parameters<Supernet['sharedAccuracy']>[0]) => supernet.sharedAccuracy(network, training, scored, quantization)
  const evolution = new Evolution(space, budget, scoreOf, { ...options, founders: options.warm?.founders ?? [] })
  const choiceIndex = new Map(space.choices.map(({ name }, index) => [name, index]))
  const paths = choicesOf(space, 'path')
  let validationStep = 0

  const anyOption = (random: Random) => space.choices.map((choice) => random.integer(choice.options.length))

  function validationBatch(): Sample[] {
    const perPass = Math.max(1, Math.floor(validation.length / batchSize))
    const order = new Random(seed, 'validation', Math.floor(validationStep / perPass)).permutation(validation.length)
    const at = (validationStep++ % perPass) * batchSize
    return Array.from(order.subarray(at, at + batchSize), (i) => validation[i])
  }

  /** Paths of one step, the one that teaches first; alone where gates train. */
  function pathsOf(at: number, step: number): number[][] {
    const random = new Random(seed, 'path', at, step)
    if (options.train === 'gates') return [at < warmupEpochs ? anyOption(random) : gates.sample(random)]
    return [largest, smallest, ...Array.from({ length: randomMembers }, () => anyOption(random))]
  }

  /** One step; what diverged in it is left out, everything if it was the first path. */
  function weightStep(at: number, step: number, clips: readonly Sample[], rate: number, lost: string[]) {
    const quantized = at >= warmupEpochs ? quantization : undefined
    let first: ReturnType<Supernet['pass']> | undefined
    for (const decisions of pathsOf(at, step)) {
      try {
        const result = supernet.pass(decisions, clips, at, { quantization: quantized, ...(first && { teacher: first.answers }) })
        first ??= result
      } catch (error) {
        if (!(error instanceof DivergedError)) throw error
        lost.push(error.message)
        if (!first) {
          supernet.discard(quantized)
          return undefined
        }
      }
    }
    supernet.step(rate, quantized)
    return first
  }

  /** What the sampled path costs with other options of some choices. */
  function swapsOf(sampled: readonly number[], random: Random): Map<number, number[][]> {
    if (limits.length === 0) return new Map()
    const swapped = random.permutation(space.choices.length).subarray(0, options.swappedChoices)
    return new Map(
      Array.from(swapped, (choice) => [
        choice,
        space.choices[choice].options.map((_, option) => {
          const cost = budget.price(space.build(sampled.with(choice, option)))
          return limits.map(({ key }) => cost[key]!)
        }),
      ]),
    )
  }

  function architectureStep(at: number, step: number, progress: number, lost: string[]): void {
    const random = new Random(seed, 'gate', at, step)
    const sampled = gates.sample(random)
    const { loss, dGates, widths } = supernet.gateGradients(sampled, validationBatch(), quantization)
    const known = new Map<number, readonly number[]>(paths.map((choice, i) => [choice, dGates[i]]))
    // widths that stand nowhere in this path learn nothing from it
    for (const choice of choicesOf(space, 'bits'))
      known.set(
        choice,
        space.choices[choice].options.map(() => 0),
      )
    for (const { role, weights, activations } of widths) {
      for (const [what, row] of [
        ['weightBits', weights],
        ['activationBits', activations],
      ] as const) {
        const choice = choiceIndex.get(bitsChoiceName(role, what))
        if (choice !== undefined && row.length > 0) known.set(choice, row)
      }
    }
    if (!Number.isFinite(loss) || [...known.values()].some((row) => !row.every(Number.isFinite))) {
      lost.push(`the gates' loss is ${loss}`)
      return
    }
    // the architecture's rate rises over the search (arXiv 2012.10138)
    const rate = options.architectureRate * (1 + Math.cos(Math.PI * (1 + progress / 2)))
    gates.update({ sampled, loss, dGates: known, swaps: swapsOf(sampled, random) }, rate)
  }

  async function epoch(index: number, between: Between): Promise<SearchEpoch | undefined> {
    const warm = index < warmupEpochs
    if (index === warmupEpochs && !options.warm) {
      supernet.loadLargest()
      quantization.initializeWeights()
      await quantization.initializeActivations(source, { seed, batchSize, load: (network) => supernet.loadNetwork(network) })
    }
    const order = source.epochOrder(seed, index)
    const steps = Math.max(1, Math.floor(order.length / batchSize))
    const lost: string[] = []
    let [loss, correct, taken, rate] = [0, 0, 0, 0]
    for (let step = 0; step < steps; step++) {
      const clips = order.slice(step * batchSize, (step + 1) * batchSize)
      rate = options.learningRate * schedule(index * steps + step, (warmupEpochs + searchEpochs) * steps)
      const result = weightStep(index, step, clips, rate, lost)
      if (result) {
        loss += result.loss
        correct += result.correct / clips.length
        taken++
      }
      const inSearch = (index - warmupEpochs) * steps + step
      if (options.train === 'gates' && !warm && (inSearch + 1) % options.architectureEvery === 0)
        architectureStep(index, step, inSearch / (searchEpochs * steps), lost)
      await new Promise((resolve) => setImmediate(resolve))
      if (!between(step + 1, steps)) return undefined
    }
    if (taken === 0) throw new DivergedError(lost[0])
    return {
      stage: warm ? 'warmup' : 'search',
      index: warm ? index : index - warmupEpochs,
      of: warm ? warmupEpochs : searchEpochs,
      loss: loss / taken,
      accuracy: correct / taken,
      learningRate: rate,
      ...(lost.length > 0 && { lostSteps: { count: lost.length, reason: lost[0] } }),
    }
  }

  async function candidateOf(admitted: Admitted): Promise<Candidate> {
    return { ...admitted, ...(await scoreOrReason(scoreOf, admitted.network)), scoreKind: 'shared' }
  }

  async function widened(candidate: Candidate): Promise<Candidate> {
    const price = (decisions: readonly number[]) => budget.price(space.build(decisions))
    const fits = (decisions: readonly number[]) => budget.violation(price(decisions)) === 0
    const bytesOf = (decisions: readonly number[]) => price(decisions).flashBytes
    // fewer bits can take longer, so that on the way down nothing may fit
    const widest = widestWithin(space, candidate.decisions, fits, bytesOf, new Random(seed, 'widened')) ?? candidate.decisions
    const decisions = canonicalDecisions(space, widest)
    return decisions.join() === candidate.decisions.join() ? candidate : candidateOf({ decisions, ...budget.admit(space, decisions)! })
  }

  /** Candidates of the gates: by falling probability, those that fit. */
  async function pickByGates(between: Between): Promise<Candidate[] | undefined> {
    const candidates: Candidate[] = []
    for (const admitted of mostProbable(space, budget, gates.probabilities(), options.candidates)) {
      candidates.push(await candidateOf(admitted))
      if (!between(candidates.length, options.candidates)) return undefined
    }
    return candidates
  }

  async function choose(offer: (candidate: Candidate) => void, between: Between, checkpoint: () => void = () => {}) {
    source.remember(true)
    try {
      const isDone = options.pick === 'gates' || (await evolution.run(between, checkpoint))
      const candidates = options.pick === 'gates' ? await pickByGates(between) : evolution.candidates()
      if (!isDone || !candidates) return undefined
      for (const candidate of candidates) offer(candidate)
      const front = frontOf(candidates)
      if (front.length === 0) throw new RunError(`search: no member of ${space.name} that fits the budget has a score; raise the limit`)
      // of equals the smallest, which comes first
      const best = front.reduce((one, other) => (other.accuracy > one.accuracy ? other : one))
      const known = (wanted: readonly number[]) => candidates.find(({ decisions }) => decisions.join() === wanted.join())
      const incumbent = options.warm?.incumbent && known(options.warm.incumbent)
      return incumbent && staysIn(incumbent, best.accuracy, scored.length) ? incumbent : known(best.decisions)
    } finally {
      source.remember(false)
    }
  }

  return {
    name: 'joint',
    givesFront: true,
    epochs: warmupEpochs + searchEpochs,
    epoch,
    choose,
    widened,
    state: (): JointState => ({
      weights: supernet.state(),
      quantization: quantization.state(),
      gates: gates.state(),
      validationStep,
      evolution: evolution.state(),
    }),
    macs: () => supernet.macs,
    restore: (state) => {
      const saved = state as JointState
      supernet.restore(saved.weights)
      quantization.restore(saved.quantization)
      gates.restore(saved.gates)
      validationStep = saved.validationStep
      evolution.restore(saved.evolution)
    },
    dispose: () => supernet.dispose(),
  }
}
