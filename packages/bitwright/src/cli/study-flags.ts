// The flags that `search` and `train` share, as their help shows them (study-request.ts checks them).
import type { Command } from 'commander'
import type { EpochsSpec } from '../study/api.ts'

/** Epochs of each stage where `--epochs` says nothing. */
export const defaultEpochs: EpochsSpec = { warmup: 8, search: 32, train: 60, quantize: 60 }

/** The same on a graph, where an epoch is one step. */
export const graphEpochs: EpochsSpec = { warmup: 100, search: 200, train: 200, quantize: 200 }

/** Networks that a joint search on a graph trains alone, in seconds each. */
export const graphFinalists = 24

export function addStudyFlags(command: Command): Command {
  return command
    .optionsGroup('Data:')
    .option(
      '--data <DIR>',
      'folder with one sub-folder of WAV clips per word, or of PNG or JPEG images per class, or CIFAR-10 batches, or a graph as JSON (required)',
    )
    .option('--words <a,b,c>', 'words to tell apart; all others become "unknown" (default: every folder is a class)')
    .option(
      '--split <RULE>',
      'lists: files in the folder; hash: of the speaker, as Speech Commands does; speaker: with --salt; auto',
      'auto',
    )
    .option('--salt <TEXT>', 'another salt gives another split by speaker')
    .option('--train-list <FILE>', 'training clips, one "path class" a line (default: all in no other list)')
    .option('--validation-list <FILE>', 'validation clips; with --test-list, replaces --split')
    .option('--test-list <FILE>', 'test clips')
    .option('--strict', 'a broken clip or image is an error instead of being skipped')
    .option('--seconds <X>', 'length of every clip: silence fills it up, of more the loudest part is taken (default: 1; --streaming: 1.25)')
    .option('--image-size <N|HxW>', 'pixels that every image is cut and scaled to (default: those of a network from a file, else 32)')
    .option('--no-flip', 'do not mirror images in training, where left and right mean something')
    .optionsGroup('Form:')
    .option('--streaming', 'no padding along time: a network that runs on a stream, frame by frame (evaluate --stream, listen)')
    .optionsGroup('Bits:')
    .option('--weight-bits <N|trained>', 'width of the weights, 1 to 8, or learned per layer', '8')
    .option('--activation-bits <N|trained>', 'width of the activations, 1 to 8, or learned per layer', '8')
    .option('--granularity <KIND>', 'one weight scale per tensor or per channel', 'channel')
    .option('--average-bits <X>', 'average that trained bits are pressed down to, weights and activations each; 0: as far as they go', '3')
    .option('--bit-penalty <X>', 'strength of the penalty on average trained bits: larger, sooner fewer', '0.08')
    .option(
      '--weight-bytes <SIZE>',
      'with --weight-bits trained: learn step and range per layer towards this many bytes of weights, e.g. 24k',
    )
    .optionsGroup('Budget (never exceeded):')
    .option('--flash <SIZE>', 'bytes of the model file, e.g. 64k (k = 1024)')
    .option('--ram <SIZE>', 'peak bytes of activations, e.g. 32k (k = 1024)')
    .option('--macs <NUMBER>', 'multiply-accumulates of one inference, e.g. 14M (M = 1,000,000)')
    .option('--latency <TIME>', 'with --target: time of a whole clip or image there, e.g. 20ms')
    .option('--prune <budget|X>', 'drop channels of expanded blocks: until within the budget (train), or worth less than this strength')
    .option('--target <NAME[@CLOCK]>', 'hardware to price on, e.g. cortex-m4@80MHz, bit-fusion, measured, or a .json file (hardware list)')
    .optionsGroup('Training:')
    .option(
      '--epochs <N|stage=N,..>',
      `final training; other stages scale with it; quantize=0: by calibration alone (default: ${describeEpochs(defaultEpochs)}; on a graph: ${describeEpochs(graphEpochs)})`,
    )
    .option('--batch-size <N>', 'clips or images of one step', '64')
    .option('--learning-rate <X>', 'peak of the schedule (default: by optimiser)')
    .option('--seed <N>', 'another seed, another run; the same seed, the same bits', '0')
    .optionsGroup('Machine:')
    .option('--threads <N>', 'the result does not depend on it (default: all cores)')
    .option('--backend <NAME>', 'auto, native (needs a C compiler) or wasm', 'auto')
    .optionsGroup('Output:')
    .option('--out <DIR>', 'folder of the run, e.g. runs/first (required)')
    .option('--resume', 'go on with the interrupted run in --out, with the same flags')
    .option('--json', 'print the result as one JSON document')
    .optionsGroup('Help:')
}

export function describeEpochs(epochs: EpochsSpec): string {
  return Object.entries(epochs)
    .map(([stage, count]) => `${stage}=${count}`)
    .join(',')
}
