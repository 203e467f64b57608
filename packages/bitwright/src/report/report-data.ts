// What the report shows, gathered from the events of a run. Every part may be missing: a run can be read at any moment of its life.
import { limitedCosts } from '../hardware/limits.ts'
import type { BudgetSpec } from '../study/api.ts'
import type { ClassifierScores, StageName, StudyEvent } from '../study/events.ts'
import type { SplitName } from '../data/dataset.ts'

type EventOf<Type extends StudyEvent['type']> = Extract<StudyEvent, { type: Type }>
export type CandidateEvent = EventOf<'candidate'>
export type EpochEvent = EventOf<'epoch'>
export type EvaluationEvent = EventOf<'evaluation'>
export type NetworkEvent = EventOf<'network'>
export type StreamEvent = EventOf<'stream'>

export type RunState =
  | { readonly kind: 'running'; readonly stage?: StageName }
  | { readonly kind: 'interrupted'; readonly stage: StageName; readonly epoch: number }
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'finished'; readonly seconds: number }

export interface ReportData {
  readonly started?: EventOf<'started'>
  readonly data?: EventOf<'data'>
  /** One per id, the latest. */
  readonly candidates: readonly CandidateEvent[]
  /** One per stage and epoch, in order of training; what was trained again after a resume replaces the first time. */
  readonly epochs: readonly EpochEvent[]
  /** Of a run that adapts another one. */
  readonly drift?: EventOf<'drift'>
  readonly adaptation?: EventOf<'adaptation'>
  /** What a joint search found. */
  readonly front?: EventOf<'front'>
  /** What left the network in its training. */
  readonly pruned?: EventOf<'pruned'>
  readonly network?: NetworkEvent
  /** The latest. */
  readonly stream?: StreamEvent
  readonly evaluations: Partial<Record<SplitName, EvaluationEvent>>
  /** What the samples are called. */
  readonly things: string
  readonly budget: BudgetSpec
  /** Of all sittings; of one that ended within the stage, its epochs. */
  readonly stageSeconds: readonly { readonly stage: StageName; readonly seconds: number }[]
  readonly state: RunState
}

export const modelKinds = ['integer', 'fakeQuantized', 'float'] as const
export type ModelKind = (typeof modelKinds)[number]
export const modelLabels: Record<ModelKind, string> = { integer: 'integer', fakeQuantized: 'fake-quantized', float: 'float' }
export const stageLabels: Record<StageName, string> = {
  data: 'data',
  drift: 'drift',
  warmup: 'warm-up',
  search: 'search',
  finalists: 'finalists',
  train: 'train',
  quantize: 'quantize',
  convert: 'convert',
  evaluate: 'evaluate',
}
const stageOrder = Object.keys(stageLabels) as StageName[]

export function gatherReport(events: readonly StudyEvent[]): ReportData {
  const candidates = new Map<number, CandidateEvent>()
  const epochs = new Map<string, EpochEvent>()
  const stageSeconds = new Map<StageName, number>()
  /** Of epochs since their stage was last started. */
  const unfinishedSeconds = new Map<StageName, number>()
  const addSeconds = (to: Map<StageName, number>, stage: StageName, seconds: number) => to.set(stage, (to.get(stage) ?? 0) + seconds)
  const evaluations: Partial<Record<SplitName, EvaluationEvent>> = {}
  let started: EventOf<'started'> | undefined
  let data: EventOf<'data'> | undefined
  let drift: EventOf<'drift'> | undefined
  let adaptation: EventOf<'adaptation'> | undefined
  let front: EventOf<'front'> | undefined
  let pruned: EventOf<'pruned'> | undefined
  let network: NetworkEvent | undefined
  let stream: StreamEvent | undefined
  let state: RunState = { kind: 'running' }
  for (const event of events) {
    switch (event.type) {
      case 'started':
        started ??= event
        break
      case 'data':
        data = event
        break
      case 'candidate':
        candidates.set(event.id, event)
        break
      case 'epoch':
        epochs.set(`${event.stage} ${event.epoch}`, event)
        addSeconds(unfinishedSeconds, event.stage, event.seconds)
        break
      case 'front':
        front = event
        break
      case 'drift':
        drift = event
        break
      case 'adaptation':
        adaptation = event
        break
      case 'pruned':
        pruned = event
        break
      case 'network':
        network = event
        break
      case 'evaluation':
        evaluations[event.split] = event
        break
      case 'stream':
        stream = event
        break
      case 'stage':
        if (event.state === 'started') state = { kind: 'running', stage: event.stage }
        // what is left from a sitting that did not come to the stage's end
        addSeconds(stageSeconds, event.stage, event.state === 'started' ? (unfinishedSeconds.get(event.stage) ?? 0) : (event.seconds ?? 0))
        unfinishedSeconds.delete(event.stage)
        break
      case 'resumed':
        state = { kind: 'running', stage: event.stage }
        break
      case 'interrupted':
        state = { kind: 'interrupted', stage: event.stage, epoch: event.epoch }
        break
      case 'failed':
        state = { kind: 'failed', message: event.message }
        break
      case 'finished':
        state = { kind: 'finished', seconds: event.seconds }
        break
      default:
        event satisfies never
    }
  }
  for (const [stage, seconds] of unfinishedSeconds) addSeconds(stageSeconds, stage, seconds)
  return {
    ...(started && { started }),
    ...(data && { data }),
    candidates: [...candidates.values()],
    epochs: [...epochs.values()].toSorted((a, b) => stageOrder.indexOf(a.stage) - stageOrder.indexOf(b.stage) || a.epoch - b.epoch),
    ...(drift && { drift }),
    ...(adaptation && { adaptation }),
    ...(front && { front }),
    ...(pruned && { pruned }),
    ...(network && { network }),
    ...(stream && { stream }),
    evaluations,
    things: data?.things ?? 'clips',
    budget: budgetOf(started?.spec.budget),
    stageSeconds: [...stageSeconds].map(([stage, seconds]) => ({ stage, seconds })),
    state,
  }
}

function budgetOf(value: unknown): BudgetSpec {
  const given = typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  return Object.fromEntries(limitedCosts.flatMap((key) => (typeof given[key] === 'number' ? [[key, given[key]]] : [])))
}

/** The evaluation to show first: test before validation. */
export function bestEvaluation(data: ReportData): EvaluationEvent | undefined {
  return data.evaluations.test ?? data.evaluations.validation ?? data.evaluations.train
}

/** The scores to show first: those of what ships. */
export function bestScores(evaluation: EvaluationEvent | undefined): { kind: ModelKind; scores: ClassifierScores } | undefined {
  for (const kind of modelKinds) {
    const scores = evaluation?.[kind]
    if (scores) return { kind, scores }
  }
  return undefined
}

/** Averages as training counts them where it said so; else weights by parameters and activations by layer. */
export function averageBits(data: ReportData): { weights: number; activations: number } | undefined {
  const layers = data.network?.layers ?? []
  const params = layers.reduce((sum, layer) => sum + layer.params, 0)
  if (layers.length > 0 && params > 0) {
    const learned = data.epochs.findLast((epoch) => epoch.averageActivationBits !== undefined)
    return {
      weights: layers.reduce((sum, layer) => sum + layer.weightBits * layer.params, 0) / params,
      activations: learned?.averageActivationBits ?? layers.reduce((sum, layer) => sum + layer.activationBits, 0) / layers.length,
    }
  }
  const last = data.epochs.findLast((epoch) => epoch.averageWeightBits !== undefined && epoch.averageActivationBits !== undefined)
  return last && { weights: last.averageWeightBits!, activations: last.averageActivationBits! }
}
