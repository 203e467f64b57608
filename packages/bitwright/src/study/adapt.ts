// A finished run goes on learning from new data (the lifelong part of HQNAS, arXiv 2210.08485, which says no more of it than that; the way is
// ours): how far the data lies from the old, norms and ranges taken anew, and where that is not enough the policy searched again from the
// shared weights and the chosen network trained on, with a share of old samples in every batch. The run that comes of it is one like any other.
import { isDeepStrictEqual } from 'node:util'
import { RunError, UsageError } from '../errors.ts'
import { withoutBits } from '../network/transform.ts'
import type { Sample } from '../data/dataset.ts'
import type { Network } from '../network/network.ts'
import { Budget } from '../search/budget.ts'
import { createStore } from '../training/initialize.ts'
import { isOld, partOf, ReplaySource } from '../training/replay-source.ts'
import { openSource } from '../training/sample-source.ts'
import { compareData, type Compared, type Deployed, floatForm } from './adapt-drift.ts'
import { accountOf } from './adapt-account.ts'
import { decisionsOf, isSearchable, searchAgain } from './adapt-search.ts'
import type { AdaptSpec, Hooks, RunResult } from './api.ts'
import { type Checkpoint, readCheckpoint } from './checkpoint.ts'
import { finish, type Trained } from './finish.ts'
import { type FinishedRun, openFinishedRun } from './finished-run.ts'
import { hardwareOf } from './hardware-of.ts'
import { readJournal } from './journal.ts'
import type { Found } from './search-stage.ts'
import { augmentationOf, Interrupted, type Session, type Spec, teacherWeight } from './session.ts'
import { sitting } from './sitting.ts'
import { quantize, trainFloat } from './train-stages.ts'
import { isTrained, openTrained, type TrainedCheckpoint } from './trained-run.ts'

export type AdaptedSpec = Spec & { readonly adapt: AdaptSpec }

export function adaptStudy(spec: AdaptedSpec, hooks: Hooks): Promise<RunResult> {
  return sitting(spec, hooks, (session, before) => new Adapting(session, spec).run(before))
}

/** Batches that the norms of the float form are taken from. */
const normBatches = 32

class Adapting {
  private readonly session: Session
  private readonly spec: AdaptedSpec
  private readonly original: FinishedRun
  private readonly trained: TrainedCheckpoint
  private readonly budget: Budget
  private readonly source: ReplaySource

  constructor(session: Session, spec: AdaptedSpec) {
    this.session = session
    this.spec = spec
    const { from, replay } = spec.adapt
    this.original = openFinishedRun(from)
    const saved = readCheckpoint(this.original.directory.checkpoint)
    if (!isTrained(saved)) throw new RunError(`${from}: has no trained parameters; finish it with the same command and --resume`)
    this.trained = saved
    // widths are those of the network, however they came about
    const bits = { weightBits: 'searched', activationBits: 'searched' } as const
    this.budget = new Budget({ budget: spec.budget, hardware: hardwareOf(spec), ...bits })
    const options = { share: replay, seed: spec.seed, ...augmentationOf(spec) }
    this.source = new ReplaySource(session.engine, session.dataset, this.original.network.frontEnd, options)
    if (this.source.epochOrder(0, 0).length === 0)
      throw new UsageError(`--data ${spec.data.directory}: has no training samples of a word that the model knows`)
  }

  async run(before: Checkpoint | undefined): Promise<RunResult> {
    const { session, spec } = this
    this.requireFit()
    const compared = before?.compared ?? (await this.compare())
    const { verdict } = compared.drift
    const mayStay = !spec.adapt.force && this.fits()
    if (verdict === 'none' && mayStay)
      return { status: 'unchanged', directory: spec.out, evaluations: [], drift: compared.drift, seconds: session.seconds() }
    if (verdict === 'statistics' && mayStay)
      return this.finish(compared, { ...this.open(compared.trained), floatParameters: compared.trained.floatParameters }, true)
    const own: Session = { ...session, dataset: this.source.dataset, save: (checkpoint) => session.save({ ...checkpoint, compared }) }
    if (!before?.compared) {
      own.save({ stage: 'drift', epoch: 0 })
      if (session.hooks.shouldStop()) throw new Interrupted('drift', 0)
    }
    return this.train(own, compared, before)
  }

  /** The network as it was deployed, or with norms and ranges taken anew. */
  private open(checkpoint: TrainedCheckpoint) {
    return openTrained(this.session.engine, this.original.request, this.original.network, checkpoint)
  }

  private fits(): boolean {
    return this.budget.excess(this.budget.price(this.original.network)) === undefined
  }

  private get isSearchable(): boolean {
    return isSearchable(this.spec, this.spec.adapt.from) && this.spec.epochs.search > 0
  }

  private requireFit(): void {
    const { from } = this.spec.adapt
    const excess = this.budget.excess(this.budget.price(this.original.network))
    if (this.isSearchable) return
    if (excess)
      throw new UsageError(
        `${from}: its network is over the budget (${excess}), and there are no shared weights to search another one with; raise the limit, or adapt a run of search --search joint`,
      )
    if (this.spec.epochs.search > 0)
      this.session.hooks.onNotice?.(`${from}: has no shared weights of a joint search; its network and bits stay what they are`)
  }

  private async compare(): Promise<Compared> {
    const { session, original, trained } = this
    const { emit } = session
    const recorded = readJournal(original.directory.journal).findLast(
      (event) => event.type === 'evaluation' && event.split === 'validation',
    )
    const compared = await session.stage('drift', async () => {
      const { store, quantization } = this.open(trained)
      const deployed: Deployed = {
        network: original.network,
        store,
        quantization,
        floatParameters: trained.floatParameters,
        ...(recorded?.type === 'evaluation' && recorded.integer && { recorded: recorded.integer }),
      }
      const result = await compareData(session, deployed)
      quantization.dispose()
      store.dispose()
      return result
    })
    emit({ type: 'drift', ...compared.drift })
    return compared
  }

  /** Searches where that can be done, and trains what came of it. */
  private async train(session: Session, compared: Compared, before: Checkpoint | undefined): Promise<RunResult> {
    const { spec, trained, source } = this
    let network = before?.network
    let initial = before?.initial
    let resumed = before?.stage === 'train' || before?.stage === 'quantize' ? before : undefined
    if (!network) {
      ;({ network, initial } = await this.policy(session, before))
      const start = this.isDeployed(network)
        ? { stage: 'quantize' as const, floatParameters: trained.floatParameters, trainer: compared.trained.trainer }
        : { stage: 'train' as const, ...(initial && { initial }) }
      resumed = { ...start, epoch: 0, network, seconds: 0 }
      session.save(resumed)
    }
    const isKept = this.isDeployed(network)
    const plain = spec.weightBits === 'searched' ? network : withoutBits(network)
    const store = createStore(session.engine, [plain], spec.seed)
    let floatParameters = resumed?.floatParameters
    if (!floatParameters) {
      for (const [name, values] of initial ?? []) store.value(name).set(values)
      await trainFloat(session, plain, store, source, resumed?.trainer)
      floatParameters = store.snapshot()
      resumed = undefined
      session.save({ stage: 'quantize', epoch: 0, network, floatParameters })
    } else store.restore(floatParameters)
    const knows = (sample: Sample) => isOld(session.dataset, sample)
    const teacher = { network: plain, parameters: floatParameters, weight: teacherWeight }
    // the old network's answers say nothing of new samples
    const asked = isKept ? spec.adapt.replay > 0 && { ...teacher, knows } : teacher
    const quantization = await quantize(session, plain, store, source, floatParameters, resumed, asked)
    if (isKept) floatParameters = await this.floatOf(network, store)
    return this.finish(compared, { store, quantization, floatParameters }, isKept)
  }

  /** The deployed network, or what a search from the shared weights gives. */
  private async policy(session: Session, before: Checkpoint | undefined): Promise<Found> {
    const { original, budget, source, spec } = this
    const { from } = spec.adapt
    if (!this.isSearchable || !('space' in spec)) return { network: original.network }
    const incumbent = decisionsOf(session.dataset, spec, from, original.network)
    if (incumbent || !this.fits()) return searchAgain(session, spec, from, budget, source, incumbent, before)
    session.hooks.onNotice?.(`${from}: its network is none that its search has scored; it stays`)
    return { network: original.network }
  }

  private isDeployed(network: Network): boolean {
    return isDeepStrictEqual(network, this.original.network)
  }

  /** A network that was trained at its widths alone, in float. */
  private floatOf(network: Network, store: Trained['store']): Promise<Float32Array> {
    const { source, spec } = this
    const order = source.epochOrder(spec.seed, 0)
    const size = Math.min(spec.batchSize, order.length)
    const count = Math.min(normBatches, Math.floor(order.length / size))
    const batches = Array.from({ length: count }, (_, i) => order.slice(i * size, (i + 1) * size))
    return floatForm(this.session.engine, network, store, store.snapshot(), { source, batches, seed: spec.seed })
  }

  private finish(compared: Compared, trained: Omit<Trained, 'source'>, isKept: boolean): Promise<RunResult> {
    const { session, original, budget } = this
    const { dataset, engine } = session
    const source = openSource(engine, dataset, original.network.frontEnd, augmentationOf(session.spec))
    return finish(session, { ...trained, source }, budget, {
      splits: partOf(dataset, 'new').splits,
      last: async (model, evaluations) => {
        const adaptation = await accountOf(session, { compared, original, model, evaluations, isKept, replay: this.spec.adapt.replay })
        session.emit({ type: 'adaptation', ...adaptation })
        return { drift: compared.drift, adaptation }
      },
    })
  }
}
