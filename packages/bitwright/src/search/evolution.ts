// Members of a space by NSGA-II (nsga2.ts) with a score for each: what a joint search ends with. Every candidate is priced exactly before
// anything else, none over budget is scored, and none twice: scores are kept by canonical decisions. The number of scores is bounded, and
// a score takes long beside a price: once some are known, a regression on them (surrogate.ts) stands for the score in an inner evolution of many
// generations, and what that ends with is scored next (Lu et al., "NSGANetV2", arXiv 2007.10396). **Ours**: a child over budget has its widths
// narrowed until it fits, and no more than that; else next to nothing that is scored uses a budget of few bits up.
import { Random } from '@bitwright/engine'
import { canonicalDecisions, choicesOf, extremes } from '../spaces/decisions.ts'
import type { Space } from '../spaces/space.ts'
import type { Cost } from '../study/events.ts'
import type { Network } from '../network/network.ts'
import { DivergedError } from '../training/trainer.ts'
import type { Budget } from './budget.ts'
import { children, type Evaluated, firstGeneration, type Nsga2Options, survivors } from './nsga2.ts'
import type { Between, Candidate } from './strategy.ts'
import { Surrogate } from './surrogate.ts'
import { widthsWithin } from './widths.ts'

export interface EvolutionOptions {
  readonly seed: number
  readonly population: number
  /** Networks that are scored at most. */
  readonly candidates: number
  /** Scores that the first regression is made from; Infinity: none is made. Default: a quarter of the candidates, at least two generations. */
  readonly unaided?: number
  /** Decisions that the first generation begins with. */
  readonly founders?: readonly (readonly number[])[]
}

export const evolutionDefaults = { population: 32, candidates: 256 } as const

interface Score {
  readonly decisions: readonly number[]
  readonly score: number
  readonly dropped?: string
}

export interface EvolutionState {
  /** Generations that are done. */
  readonly generation: number
  readonly population: readonly Evaluated[]
  readonly scores: readonly Score[]
}

/** Generations after which a search ends that finds nothing new to score within its budget. */
const mostIdle = 25

/** Of the inner evolution, whose members are priced and not scored. */
const [innerPopulation, innerGenerations] = [64, 24]
/** Shares of a generation: the best that is predicted within the budget, and what is predicted to be on the front; the others are children of
 * what was scored. */
const [bestShare, frontShare] = [0.5, 0.25]

interface Priced {
  readonly violation: number
  readonly costs: readonly number[]
}

export class Evolution {
  private readonly space: Space
  private readonly budget: Budget
  private readonly options: EvolutionOptions
  private readonly nsga2: Nsga2Options
  private readonly scoreOf: (network: Network) => Promise<number>
  private generation = 0
  private population: readonly Evaluated[] = []
  private readonly scores = new Map<string, Score>()
  /** By genes: narrowing and inner evolutions come back to the same ones. */
  private readonly prices = new Map<string, Priced>()

  /** @param scoreOf accuracy, 0..1; a DivergedError or a score that is no number drops the candidate */
  constructor(space: Space, budget: Budget, scoreOf: (network: Network) => Promise<number>, options: EvolutionOptions) {
    this.space = space
    this.budget = budget
    this.scoreOf = scoreOf
    this.options = options
    this.nsga2 = {
      seed: options.seed,
      options: space.choices.map((choice) => choice.options.length),
      population: options.population,
      canonical: (genes) => canonicalDecisions(space, genes),
    }
  }

  /** Runs to the end, `checkpoint` after every generation; false when `between` ended it. */
  async run(between: Between, checkpoint: () => void): Promise<boolean> {
    const priced = new Set(this.population.map(({ genes }) => genes.join()))
    for (const key of this.scores.keys()) priced.add(key)
    let idle = 0
    while (this.scores.size < this.options.candidates && idle < mostIdle) {
      const before = this.scores.size
      const born =
        this.generation === 0
          ? firstGeneration(this.nsga2, this.founders())
          : [...this.proposals(), ...children(this.population, this.generation, this.nsga2, priced)].slice(0, this.options.population)
      for (const genes of born) priced.add(genes.join())
      const evaluated: Evaluated[] = []
      for (const genes of this.narrowed(born, priced)) {
        if (this.scores.size === this.options.candidates) break
        evaluated.push(await this.evaluate(genes))
        if (!between(this.scores.size, this.options.candidates)) return false
      }
      for (const { genes } of evaluated) priced.add(genes.join())
      this.population = survivors([...this.population, ...evaluated], this.options.population)
      this.generation++
      idle = this.scores.size > before ? 0 : idle + 1
      checkpoint()
    }
    return true
  }

  /** Those given, the extremes, and random paths with one width throughout: mixtures of widths are what crossover makes. */
  private founders(): (readonly number[])[] {
    const { largest, smallest } = extremes(this.space)
    const bits = new Set(choicesOf(this.space, 'bits'))
    const random = new Random(this.options.seed, 'founders')
    const uniform = Array.from({ length: bits.size > 0 ? this.options.population >> 1 : 0 }, (_, i) =>
      this.space.choices.map(({ options }, choice) => (bits.has(choice) ? i % options.length : random.integer(options.length))),
    )
    return [...(this.options.founders ?? []), smallest, largest, ...uniform]
  }

  private price(genes: readonly number[]): Priced {
    const key = genes.join()
    const known = this.prices.get(key)
    if (known) return known
    const cost = this.budget.price(this.space.build(genes))
    const priced = { violation: this.budget.violation(cost), costs: objectivesOf(cost) }
    this.prices.set(key, priced)
    return priced
  }

  /** Those that fit as they are; others at widths at which they do, where there are such and nobody else has them. */
  private narrowed(born: readonly (readonly number[])[], priced: ReadonlySet<string>): (readonly number[])[] {
    const random = new Random(this.options.seed, 'narrowed', this.generation)
    const fits = (genes: readonly number[]) => this.price(genes).violation === 0
    const members = born.flatMap((genes) => {
      if (fits(genes)) return [genes]
      const narrowed = canonicalDecisions(this.space, widthsWithin(this.space, genes, fits, random) ?? genes)
      return priced.has(narrowed.join()) && narrowed.join() !== genes.join() ? [] : [narrowed]
    })
    return [...new Map(members.map((genes) => [genes.join(), genes])).values()]
  }

  /** What evolutions on predicted scores end with and has not been scored: the best within the budget, and members of the front. */
  private proposals(): number[][] {
    const { population, candidates, unaided = Math.max(2 * population, candidates >> 2) } = this.options
    const sound = [...this.scores.values()].filter(({ dropped }) => dropped === undefined)
    if (sound.length < Math.max(2, unaided)) return []
    const surrogate = new Surrogate(sound.map(({ decisions, score }) => ({ genes: decisions, score })))
    const inner = (purpose: string, objectives: (score: number, costs: readonly number[]) => number[]): Evaluated[] => {
      const predicted = (genes: readonly number[]): Evaluated => {
        const { violation, costs } = this.price(genes)
        return { genes, objectives: objectives(surrogate.predict(genes), costs), violation }
      }
      const options = { ...this.nsga2, population: innerPopulation, purpose: `${purpose} ${this.generation}` }
      let members = this.population.map(({ genes }) => predicted(genes))
      for (let generation = 0; generation < innerGenerations; generation++)
        members = survivors([...members, ...children(members, generation, options).map(predicted)], innerPopulation)
      return members.filter(({ genes, violation }) => violation === 0 && !this.scores.has(genes.join()))
    }
    const best = inner('best', (score) => [-score]).slice(0, Math.ceil(bestShare * population))
    const front = inner('front', (score, costs) => [-score, ...costs]).slice(0, Math.ceil(frontShare * population))
    return [...new Map([...best, ...front].map(({ genes }) => [genes.join(), [...genes]])).values()]
  }

  private async evaluate(genes: readonly number[]): Promise<Evaluated> {
    const { violation, costs } = this.price(genes)
    if (violation > 0) return { genes, objectives: [0, ...costs], violation }
    const key = genes.join()
    let known = this.scores.get(key)
    if (!known) {
      known = { decisions: genes, ...(await scoreOrReason(this.scoreOf, this.space.build(genes))) }
      this.scores.set(key, known)
    }
    // worse than anything that is a network, better than what is none
    return known.dropped === undefined
      ? { genes, objectives: [-known.score, ...costs], violation }
      : { genes, objectives: [1, ...costs], violation: 1e-9 }
  }

  /** Everything that was scored, in order. */
  candidates(): Candidate[] {
    return [...this.scores.values()].map((score) => {
      const network = this.space.build(score.decisions)
      return { ...score, network, cost: this.budget.price(network), scoreKind: 'shared' }
    })
  }

  state(): EvolutionState {
    return { generation: this.generation, population: [...this.population], scores: [...this.scores.values()] }
  }

  restore({ generation, population, scores }: EvolutionState): void {
    this.generation = generation
    this.population = population
    this.scores.clear()
    for (const score of scores) this.scores.set(score.decisions.join(), score)
  }
}

/** What is minimised beside the error. */
const objectivesOf = ({ flashBytes, latencyMs, macs }: Cost): number[] => [flashBytes, latencyMs ?? macs]

/** A network's score, or 0 and why it has none. */
export async function scoreOrReason(
  scoreOf: (network: Network) => Promise<number>,
  network: Network,
): Promise<Pick<Candidate, 'score' | 'dropped'>> {
  try {
    const score = await scoreOf(network)
    return Number.isFinite(score) ? { score } : { score: 0, dropped: `its score is ${score}` }
  } catch (error) {
    if (!(error instanceof DivergedError)) throw error
    return { score: 0, dropped: error.message }
  }
}
