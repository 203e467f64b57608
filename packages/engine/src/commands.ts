// The commands of a program, the tape's language. Keep in step with kernels/kernels.h, which also says what a program looks like.

const names = [
  'pack',
  'packDepthwise',
  'convolution',
  'convolutionBackward',
  'depthwise',
  'depthwiseBackward',
  'reduceWeights',
  'reduceDepthwise',
  'normTrain',
  'normEval',
  'normBackward',
  'bias',
  'biasBackward',
  'add',
  'addBackward',
  'pool',
  'poolBackward',
  'logMagnitude',
  'logMagnitudeBackward',
  'sinc',
  'sincBackward',
  'crossEntropy',
  'reduceLanes',
  'dot',
  'observe',
  'copyRows',
  'sgd',
  'adam',
  'attend',
  'attendBackward',
  'lanes',
  'clock',
  'aggregate',
  'aggregateBackward',
  'edgeAttention',
  'edgeAttentionBackward',
  'edgeAttentionGradient',
  'reduceChunks',
  'dropout',
] as const

export type CommandName = (typeof names)[number]

const opcodes = Object.fromEntries(names.map((name, i) => [name, i + 1])) as Record<CommandName, number>

/** An absent heap offset. */
export const none = -1
const noBarrier = 0x10000

const floatBits = new Float32Array(1)
const intBits = new Int32Array(floatBits.buffer)

/** A float as a program argument: its bits. */
export function float(value: number): number {
  floatBits[0] = value
  return intBits[0]
}

/** Appends one command. `barrier: false` when no later command before the next barrier reads what this one writes. */
export function command(to: number[], name: CommandName, args: readonly number[], barrier = true): void {
  to.push(opcodes[name] | (barrier ? 0 : noBarrier), args.length + 2, ...args)
}

/** The name of a command by its opcode, for breakdowns and errors. */
export function commandName(opcode: number): CommandName {
  return names[(opcode & 0xffff) - 1]
}
