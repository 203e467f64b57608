// Everything that happens in a run is one event in its journal; resume, the terminal and report.html read these and nothing else.
import type { Network } from '../network/network.ts'
import type { SplitName } from '../data/dataset.ts'

export interface Cost {
  readonly params: number
  readonly macs: number
  /** Bytes of the .bw model. */
  readonly flashBytes: number
  /** Peak of the planned activation arena. */
  readonly ramBytes: number
  /** Sum of MACs times the bits of the weights times those of what they multiply. */
  readonly bitOperations?: number
  /** Of a whole clip or image on the target, features included; cycles and energy where the target tells them. */
  readonly latencyMs?: number
  readonly cycles?: number
  readonly energyUj?: number
}

/** A network that a search offers beside others: no other of them is at least as good in accuracy, bytes and speed at once. */
export interface FrontMember {
  readonly flashBytes: number
  readonly ramBytes: number
  readonly macs: number
  readonly latencyMs?: number
  /** Average over the weights. */
  readonly weightBits: number
  /** Average over the layers, of what they multiply. */
  readonly activationBits: number
  /** With shared weights, on the samples the search scores with, 0..1. */
  readonly accuracy: number
  readonly decisions: readonly number[]
  readonly network: Network
}

/** Of a search: a network trained alone before one was chosen. */
export interface FinalistResult {
  /** Of its candidate. */
  readonly id: number
  readonly network: Network
  readonly cost: Cost
  /** Of every training alone, on the validation samples, 0..1; their mean decides. */
  readonly accuracies: readonly number[]
  readonly sharedScore?: number
  readonly chosen: boolean
  /** Why a training of it was given up. */
  readonly dropped?: string
}

export type StageName = 'data' | 'drift' | 'warmup' | 'search' | 'finalists' | 'train' | 'quantize' | 'convert' | 'evaluate'

export interface Accuracy {
  /** 0..1 */
  readonly accuracy: number
  readonly count: number
}
export interface ClassifierScores extends Accuracy {
  /** Accuracy over the clips whose class is not silence. */
  readonly accuracyWithoutSilence?: number
  /** confusion[actual][predicted] = clips. */
  readonly confusion: readonly (readonly number[])[]
  readonly recall: readonly number[]
  /** One sigma of accuracy from resampling speakers (clips where no speaker is known), 0..1. */
  readonly standardError: number
}
/** Bits of one weighted layer. */
export interface LayerBits {
  readonly id: string
  readonly weightBits: number
  readonly activationBits: number
  readonly params: number
  readonly macs: number
}

/** How a detector does on a long recording. */
export interface StreamScores {
  /** Share of the keywords that were detected. */
  readonly recall: number
  readonly hits: number
  readonly words: number
  /** Detections of no keyword, of another one, or of one a second time. */
  readonly falseAccepts: number
  /**
   * What was said there: a keyword (another one, or this one once more), a word of the unknown class, or none. `otherClips`: how many
   * different clips those other words are, of which each may come many times.
   */
  readonly falseAcceptsOn: {
    readonly keywords: number
    readonly otherWords: number
    readonly otherClips: number
    readonly noise: number
  }
  readonly falseAcceptsPerHour: number
  /** Seconds from a word's end to its detection: median and nine out of ten; absent where nothing was detected. */
  readonly latency?: { readonly median: number; readonly ninetieth: number }
}

export interface StreamEvaluation {
  readonly minutes: number
  readonly seed: number
  readonly wantedFalseAcceptsPerHour: number
  /** Whether the model ran on the stream row by row; else a whole window at every hop. */
  readonly isFrameByFrame: boolean
  /** Of speech and background, in dB. */
  readonly signalToNoise: { readonly lowest: number; readonly highest: number }
  /** Words of the unknown class in the recording. */
  readonly otherWords: number
  /** Of the detector, chosen on the validation recording. */
  readonly settings: {
    readonly smoothingSeconds: number
    readonly threshold: number
    readonly refractorySeconds: number
    readonly ignoredClasses: readonly string[]
  }
  readonly scores: StreamScores
  readonly validation: { readonly minutes: number; readonly scores: StreamScores }
  /** The test recording at every threshold. */
  readonly curve: readonly { readonly threshold: number; readonly recall: number; readonly falseAcceptsPerHour: number }[]
}

/** How a model does on validation samples. */
export interface Standing {
  readonly accuracy: number
  /** Mean probability of its own answers. */
  readonly confidence: number
  readonly count: number
}

/** How far new data lies from old (study/drift.ts). */
export interface Drift {
  /** Of the layers' statistics, in standard deviations: new data against old. */
  readonly distance: number
  /** The same of halves of one kind of data: the largest that was seen. */
  readonly floor: number
  /** By layer with batch norm: root mean squares over its channels of the mean's shift, in standard deviations, and of the variances' log ratio. */
  readonly layers: readonly { readonly id: string; readonly shift: number; readonly logVarianceRatio: number; readonly distance: number }[]
  /** The integer model on validation samples, as it is and with norms and ranges taken anew from new data; absent without old data. */
  readonly old?: { readonly before: Standing; readonly reestimated: Standing }
  readonly new: { readonly before: Standing; readonly reestimated: Standing }
  /** Accuracy on the old validation data that the run itself recorded, where that data is gone. */
  readonly recorded?: { readonly accuracy: number; readonly count: number }
  readonly verdict: 'none' | 'statistics' | 'training'
  /** The verdict in plain words. */
  readonly reason: string
  /** Multiply-accumulates of all this. */
  readonly macs: number
}

/** Accuracies of the integer models before, with norms and ranges taken anew, and in the end. */
export interface Adapted {
  readonly before: number
  readonly reestimated: number
  readonly adapted: number
  readonly count: number
}

/** What a run that adapts another one came to. */
export interface Adaptation {
  /** Share of old samples in what was trained on. */
  readonly replay: number
  readonly splits: readonly { readonly split: 'validation' | 'test'; readonly old?: Adapted; readonly new: Adapted }[]
  /** Whether the network is the one that was deployed; another one has other weights too. */
  readonly network: 'kept' | 'searched'
  /** All of the run, and all of the one that was adapted; multiply-accumulates where they were counted. */
  readonly cost: { readonly seconds: number; readonly macs: number }
  readonly original: { readonly seconds?: number; readonly macs?: number }
}

/** `epoch` counts the finished epochs of its stage: 1 after the first. */
export type StudyEvent =
  | { type: 'started'; command: string; spec: Record<string, unknown>; version: string; backend: string; threads: number }
  /** `things`: what the samples are called, clips where absent. `old`: of the data before, where a run adapts to new. */
  | {
      type: 'data'
      directory: string
      classes: readonly string[]
      counts: Record<SplitName, number>
      skipped: number
      things?: string
      old?: Record<SplitName, number>
    }
  | { type: 'stage'; stage: StageName; state: 'started' | 'finished'; seconds?: number }
  | {
      type: 'epoch'
      stage: StageName
      epoch: number
      epochs: number
      learningRate: number
      seconds: number
      trainLoss: number
      trainAccuracy?: number
      validationLoss?: number
      validationAccuracy?: number
      expectedMacs?: number
      /** Multiply-accumulates of this epoch; a backward pass counts twice the forward one. */
      macs?: number
      /** Steps of a search that were left out because a loss was no number. */
      lostSteps?: { readonly count: number; readonly reason: string }
      averageWeightBits?: number
      averageActivationBits?: number
      flashBytes?: number
    }
  /** A network that was scored with shared weights (`shared`) or trained alone (`trained`); the latest of an id is what is known of it. */
  | {
      type: 'candidate'
      id: number
      origin: string
      network: Network
      cost: Cost
      score?: number
      scoreKind?: 'shared' | 'trained'
      /** Of a finalist, whose score is the mean of these: of every training alone, on the validation samples. */
      accuracies?: readonly number[]
      /** Of a finalist: what it had with shared weights. */
      sharedScore?: number
      chosen?: boolean
      dropped?: string
    }
  /** What a joint search found, by rising bytes, and the multiply-accumulates of all of it. `chosen` -1: a network that is not on it, as a deployed one or a finalist. */
  | { type: 'front'; members: readonly FrontMember[]; chosen: number; macs?: number }
  | ({ type: 'drift' } & Drift)
  | ({ type: 'adaptation' } & Adaptation)
  | { type: 'network'; network: Network; cost: Cost; layers: readonly LayerBits[] }
  /** Channels that have left the network, out of all in its expanded blocks, and what it took with them and takes without. */
  | { type: 'pruned'; channels: number; of: number; before: Cost; after: Cost }
  | {
      type: 'evaluation'
      split: SplitName
      float?: ClassifierScores
      fakeQuantized?: ClassifierScores
      integer?: ClassifierScores
      /** Clips on which the integer model and the fake-quantized network disagree, with the margin between their two logits. */
      differing?: readonly { path: string; fakeQuantized: number; integer: number; margin: number }[]
      /** Images that the integer model is most wrong about, with their pictures as data URLs. */
      mistakes?: readonly { path: string; label: number; answer: number; picture: string }[]
    }
  | ({ type: 'stream' } & StreamEvaluation)
  | { type: 'resumed'; fromEpoch: number; stage: StageName }
  | { type: 'interrupted'; stage: StageName; epoch: number }
  /** Of a network for a graph there is no model. */
  | { type: 'finished'; model?: string; report: string; seconds: number }
  | { type: 'failed'; message: string }
