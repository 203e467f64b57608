// What the command line and the façade of a study (run.ts) agree on: validated requests in, events and results out. Types only.
import type { Adaptation, ClassifierScores, Cost, Drift, FinalistResult, FrontMember, LayerBits, StageName, StudyEvent } from './events.ts'
import type { Network } from '../network/network.ts'
import type { InputForm } from './networks.ts'
import type { SplitName } from '../data/dataset.ts'

/** A fixed width of 1..8 bits, widths learned per layer, or those that the network has from a search. */
export type BitsSpec = number | 'trained' | 'searched'

export interface DataSpec {
  readonly directory: string
  /** Words to tell apart; other words become the unknown class. Absent: every folder is a class. */
  readonly words?: readonly string[]
  /** Files with one `path class` pair a line; without `train`, that split has every clip the other two do not name. */
  readonly lists?: { readonly train?: string; readonly validation: string; readonly test: string }
  /** As in data/plan.ts. */
  readonly split: 'auto' | 'lists' | 'hash' | 'speaker'
  /** Another salt gives another split by `speaker`. */
  readonly salt: string
  /** A broken file is an error instead of being named, counted and skipped. */
  readonly strict: boolean
  /** Length of every clip; absent: that of a network from a file, else 1, of a network that streams 1.25. */
  readonly seconds?: number
  /** Height and width of every image; absent: those of a network from a file, else 32x32. */
  readonly imageSize?: readonly [number, number]
  /** False: images are not mirrored in training. */
  readonly flip?: false
  /** What a trained network takes, where the data is for one. */
  readonly input?: InputForm
  /** The classes of a trained network; the data may have fewer. */
  readonly classes?: readonly string[]
}

/** Of a run that adapts another one: `data` of its request is the new data. */
export interface AdaptSpec {
  /** Folder of the run that is adapted. */
  readonly from: string
  /** The data of that run, and of those that it was adapted from. */
  readonly old: readonly DataSpec[]
  /** Share of old samples in every batch, 0 to less than 1. */
  readonly replay: number
  /** Trains whatever the data looks like. */
  readonly force: boolean
}

/** Channels are pruned until the network is within the budget, or by this strength. */
export type PruneSpec = number | 'budget'

/** Upper limits no emitted network exceeds; an absent one does not bind. */
export interface BudgetSpec {
  readonly flashBytes?: number
  readonly ramBytes?: number
  readonly macs?: number
  /** Of a whole clip or image on the target. */
  readonly latencyMs?: number
}

export interface EpochsSpec {
  readonly warmup: number
  readonly search: number
  readonly train: number
  readonly quantize: number
}

interface StudySpec {
  readonly data: DataSpec
  readonly adapt?: AdaptSpec
  /** The network has no padding along time, so that it can run on a stream. */
  readonly streaming?: true
  readonly weightBits: BitsSpec
  readonly activationBits: BitsSpec
  /** One weight scale per tensor or per output channel. */
  readonly granularity: 'tensor' | 'channel'
  /** With trained weight bits: bytes of weights to learn towards, instead of the average-bits penalty. */
  readonly weightBytes?: number
  /** Strength of the average-bits penalty on trained widths. */
  readonly bitPenalty: number
  /** Average that trained widths are pressed down to; 0: pressed all the time. */
  readonly averageBits: number
  readonly budget: BudgetSpec
  /** Channels that the network can do without leave it in the training in float. */
  readonly prune?: PruneSpec
  /** What latency, cycles and energy are those of, as `--target` names it. */
  readonly target?: string
  readonly epochs: EpochsSpec
  readonly batchSize: number
  /** Peak of the schedule; absent: the trainer's default for its optimiser. */
  readonly learningRate?: number
  readonly seed: number
  readonly threads: number
  readonly backend: 'auto' | 'native' | 'wasm'
  /** Folder of the run. */
  readonly out: string
  /** Go on with the interrupted run in `out`, which must have been started with the same request. */
  readonly resume: boolean
  /** The command as typed, for the journal and the report. */
  readonly command: string
}

export interface SearchSpec extends StudySpec {
  /** `network`: that of `spaceOptions.network` alone, whose bits are to be chosen. */
  readonly space: 'kws-e2e' | 'kws-mfcc' | 'cenet' | 'mobile-cifar' | 'graph' | 'network'
  readonly spaceOptions: {
    /** First-layer filters (`kws-e2e`) or MFCC coefficients (`kws-mfcc`). */
    readonly filters?: number
    /** First layer of `kws-e2e`. */
    readonly frontEnd?: 'sinc' | 'conv'
    /** Of space `network`: built-in name, or path of a network as JSON. */
    readonly network?: string
  }
  readonly search: 'proxyless' | 'random' | 'joint'
  /** Of `joint`. */
  readonly joint?: {
    readonly train: 'sandwich' | 'gates'
    readonly pick: 'evolution' | 'gates'
    /** Networks scored with shared weights. */
    readonly candidates: number
    /** What the chosen network's training starts from: the shared weights, or scratch. */
    readonly start: 'shared' | 'scratch'
    /** Networks that are trained alone before one of them is chosen, the best as scored and at their widest; absent: the best score's is taken. */
    readonly finalists?: number
  }
}

export interface TrainSpec extends StudySpec {
  /** Built-in name, or path of a network as JSON. */
  readonly network: string
  /** Folder of a finished run of this network: its float weights are quantized, and nothing is trained in float. */
  readonly from?: string
  /** With `from`, a run of a joint search: the member of its front to train, from the shared weights. */
  readonly member?: number
}

export interface EvaluateSpec {
  /** Folder of a finished run; its classes and its split rule are used. */
  readonly run: string
  /** Folder with the clips. */
  readonly directory: string
  readonly split: 'validation' | 'test'
  /** File with one `path class` pair a line; replaces the split. */
  readonly list?: string
  readonly strict: boolean
  readonly threads: number
  readonly backend: 'auto' | 'native' | 'wasm'
}

export interface EvaluateStreamSpec {
  /** Folder of a finished run; its classes and its split rule are used. */
  readonly run: string
  /** Folder with the clips. */
  readonly directory: string
  /** Of the test recording. */
  readonly minutes: number
  readonly seed: number
  readonly falseAcceptsPerHour: number
  readonly strict: boolean
  readonly threads: number
}

export interface Progress {
  readonly stage: StageName
  /** Units of the stage done so far: files while decoding, steps within an epoch while training, clips while evaluating. */
  readonly done: number
  readonly total: number
  /** What is counted, e.g. `clips` or `steps`. */
  readonly text: string
}

export interface Hooks {
  /** A line people should see, e.g. that there is no C compiler and WebAssembly takes over. */
  onNotice?(line: string): void
  /** Every event, after it is in the journal. */
  onEvent(event: StudyEvent): void
  /** Between events, as often as the work likes. */
  onProgress(progress: Progress): void
  /** Asked between training steps. Once true: save a checkpoint, append `interrupted`, release the lock and return. The work must
   *  let the event loop turn between steps, or a signal can never make this true. */
  shouldStop(): boolean
}

/** Scores of the models a run holds on one set of clips; */
export interface EvaluateResult {
  readonly split: SplitName
  /** What the samples are called: clips, images, nodes. */
  readonly things: string
  readonly classes: readonly string[]
  readonly float?: ClassifierScores
  readonly fakeQuantized?: ClassifierScores
  /** Absent for a network for a graph, of which there is no integer model. */
  readonly integer?: ClassifierScores
  readonly differing?: readonly { path: string; fakeQuantized: number; integer: number; margin: number }[]
}

export interface RunResult {
  /** `unchanged`: there was nothing to adapt to, and nothing is kept of the run. */
  readonly status: 'finished' | 'interrupted' | 'unchanged'
  readonly directory: string
  /** Path of model.bw; absent when interrupted. */
  readonly model?: string
  readonly report?: string
  readonly network?: Network
  readonly cost?: Cost
  readonly layers?: readonly LayerBits[]
  /** Of a joint search: what there is to choose from, by rising bytes. */
  readonly front?: readonly FrontMember[]
  /** Of a search that trained some alone before it chose. */
  readonly finalists?: readonly FinalistResult[]
  readonly evaluations: readonly EvaluateResult[]
  /** Of a run that adapts another one. */
  readonly drift?: Drift
  readonly adaptation?: Adaptation
  /** Wall-clock seconds of all sittings together. */
  readonly seconds: number
}

export type SearchStudy = (spec: SearchSpec, hooks: Hooks) => Promise<RunResult>
export type TrainStudy = (spec: TrainSpec, hooks: Hooks) => Promise<RunResult>
export type EvaluateRun = (spec: EvaluateSpec, hooks: Hooks) => Promise<EvaluateResult>
