// The first half of searching one after the other: architectures found in float. A supernet of the space trained as a joint search trains its own
// (search/joint.ts), but never quantized, then evolution under a budget at an assumed width, the same for all layers. Everything is kept in
// files, the supernet after each epoch.
import { existsSync, readFileSync } from 'node:fs'
import type { Engine } from '../packages/engine/src/index.ts'
import type { Dataset } from '../packages/bitwright/src/data/dataset.ts'
import type { Network } from '../packages/bitwright/src/network/index.ts'
import { Budget } from '../packages/bitwright/src/search/budget.ts'
import { Evolution, evolutionDefaults } from '../packages/bitwright/src/search/evolution.ts'
import { frontOf } from '../packages/bitwright/src/search/front.ts'
import { jointDefaults } from '../packages/bitwright/src/search/joint.ts'
import { extremes } from '../packages/bitwright/src/spaces/index.ts'
import type { SearchSpec } from '../packages/bitwright/src/study/api.ts'
import { readCheckpoint, writeCheckpoint } from '../packages/bitwright/src/study/checkpoint.ts'
import type { Cost } from '../packages/bitwright/src/study/events.ts'
import { hardwareOf } from '../packages/bitwright/src/study/hardware-of.ts'
import { spaceOf } from '../packages/bitwright/src/study/networks.ts'
import { atomicWrite } from '../packages/bitwright/src/study/run-directory.ts'
import { openStrategy, searchedSpace } from '../packages/bitwright/src/study/search-strategy.ts'

export interface FloatArchitecture {
  /** In float; undefined where no member of the space fits at this width. */
  readonly network?: Network
  readonly cost?: Cost
  /** With shared weights in float. */
  readonly accuracy?: number
  /** Of the evolution. */
  readonly seconds: number
}

const unlimited = (spec: SearchSpec) =>
  new Budget({ budget: {}, hardware: hardwareOf(spec), weightBits: 'searched', activationBits: 'searched' })

export class FloatSearch {
  private readonly engine: Engine
  private readonly dataset: Dataset
  private readonly spec: SearchSpec
  private readonly file: string
  private readonly scores = new Map<string, number>()
  private strategy: ReturnType<typeof openStrategy> | undefined

  /** @param spec of the joint search that it is compared with: epochs, seed, candidates and scores are its own */
  constructor(engine: Engine, dataset: Dataset, spec: SearchSpec, file: string) {
    this.engine = engine
    this.dataset = dataset
    this.spec = spec
    this.file = file
  }

  /** The trained supernet; its epochs are as many as the joint search has, all of them warm-up. */
  private async trained(): Promise<NonNullable<typeof this.strategy>> {
    if (this.strategy) return this.strategy
    const { engine, dataset, file } = this
    const { warmup, search } = this.spec.epochs
    const spec = { ...this.spec, epochs: { ...this.spec.epochs, warmup: warmup + search, search: 0 } }
    const strategy = openStrategy(engine, spec, searchedSpace(spec, dataset), dataset, unlimited(spec))
    const saved = readCheckpoint(file)
    if (saved) strategy.restore(saved.strategy)
    let seconds = saved?.seconds ?? 0
    for (let epoch = saved?.epoch ?? 0; epoch < strategy.epochs; epoch++) {
      const start = performance.now()
      const result = await strategy.epoch(epoch, () => true)
      seconds += (performance.now() - start) / 1000
      writeCheckpoint(file, { stage: 'search', epoch: epoch + 1, seconds, strategy: strategy.state() })
      console.error(`${file}: epoch ${epoch + 1} of ${strategy.epochs}, loss ${result!.loss.toFixed(3)}`)
    }
    return (this.strategy = strategy)
  }

  /** Seconds that the supernet's training took. */
  seconds(): number {
    return readCheckpoint(this.file)?.seconds ?? 0
  }

  /** The most accurate member under the budget with all weights at this width and 8-bit activations, kept in a file. */
  async architecture(budget: SearchSpec['budget'], width: number, file: string): Promise<FloatArchitecture> {
    if (!existsSync(file)) atomicWrite(file, JSON.stringify(await this.evolve(budget, width)))
    return JSON.parse(readFileSync(file, 'utf8')) as FloatArchitecture
  }

  private async evolve(limits: SearchSpec['budget'], width: number): Promise<FloatArchitecture> {
    const { spec, dataset } = this
    const space = spaceOf(spec, dataset)
    const budget = new Budget({ budget: limits, hardware: hardwareOf(spec), weightBits: width, activationBits: 8 })
    if (budget.excess(budget.price(space.build(extremes(space).smallest)))) return { seconds: 0 }
    const { supernet, source } = await this.trained()
    const { train, validation } = dataset.splits
    const scored = validation.slice(0, jointDefaults.scoredSamples)
    const start = performance.now()
    const scoreOf = async (network: Network) => {
      const key = network.nodes.map(({ id }) => id).join()
      const known = this.scores.get(key) ?? (await supernet!.sharedAccuracy(network, train, scored))
      this.scores.set(key, known)
      return known
    }
    const evolution = new Evolution(space, budget, scoreOf, {
      seed: spec.seed,
      population: evolutionDefaults.population,
      candidates: spec.joint!.candidates,
    })
    source!.remember(true)
    await evolution.run(
      () => true,
      () => {},
    )
    source!.remember(false)
    const seconds = (performance.now() - start) / 1000
    const best = frontOf(evolution.candidates()).reduce((one, other) => (other.accuracy > one.accuracy ? other : one))
    console.error(`${this.file}: at ${width} bits ${(100 * best.accuracy).toFixed(1)} % in float, ${best.flashBytes} bytes`)
    return { network: best.network, cost: budget.price(best.network), accuracy: best.accuracy, seconds }
  }

  dispose(): void {
    this.strategy?.dispose()
  }
}
