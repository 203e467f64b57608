// The model as C: model.h with its sizes and model.c with its bytes, names and the tables of its front end, all constant.
import {
  defaultDetectorSettings,
  type DetectorSettings,
  encodeModel,
  type FrontEndTables,
  frontEndTables,
  type IntegerModel,
  type IntegerSpectralFrontEnd,
  isSpectral,
  type Kernels,
} from '@bitwright/runtime'
import { detectorSamples, firmwareMemory, type FirmwareMemory, frontEndBuffers } from '../hardware/index.ts'
import { firmwareModel, kernelConditions } from './firmware-targets.ts'

const kinds = { raw: 0, mfcc: 1, logmel: 2, image: 3 } as const

/** The model as one family of kernels holds it. */
export interface FirmwareVariant {
  readonly kernels: Kernels
  readonly image: Uint8Array
  readonly memory: FirmwareMemory
}

/** A processor takes the first family that it knows, so one is left out only where the next that is kept has the same image. */
export function firmwareVariants(model: IntegerModel, modelFor = firmwareModel): readonly FirmwareVariant[] {
  return (['plain', 'dsp', 'helium'] as const).reduce<readonly FirmwareVariant[]>((kept, kernels) => {
    const own = modelFor(model, kernels)
    const image = encodeModel(own)
    return kept.length > 0 && Buffer.compare(image, kept[0].image) === 0 ? kept : [{ kernels, image, memory: firmwareMemory(own) }, ...kept]
  }, [])
}

/** `text` of each variant, chosen by the preprocessor. */
function forEach(variants: readonly FirmwareVariant[], text: (variant: FirmwareVariant) => string): string {
  if (variants.length === 1) return text(variants[0])
  const branches = variants.map((variant, i) => {
    const condition = kernelConditions[variant.kernels]
    const head = i === 0 ? `#if ${condition}` : i === variants.length - 1 ? `#else /* ${variant.kernels} */` : `#elif ${condition}`
    return `${head}\n${text(variant)}`
  })
  return `${branches.join('')}#endif\n`
}

/** A float32 as C reads it back, bit for bit. */
export function floatLiteral(value: number): string {
  const [bits] = new Uint32Array(Float32Array.of(value).buffer)
  const [sign, exponent, fraction] = [bits >>> 31 ? '-' : '', (bits >>> 23) & 255, bits & 0x7fffff]
  const digits = (fraction * 2).toString(16).padStart(6, '0')
  return exponent === 0 ? `${sign}0x0.${digits}p-126f` : `${sign}0x1.${digits}p${exponent - 127}f`
}

/** A C string. What is not plain ASCII becomes octal. */
export function stringLiteral(text: string): string {
  const escaped = Array.from(Buffer.from(text, 'utf8'), (byte) =>
    byte >= 32 && byte < 127 && byte !== 34 && byte !== 63 && byte !== 92
      ? String.fromCharCode(byte)
      : `\\${byte.toString(8).padStart(3, '0')}`,
  )
  return `"${escaped.join('')}"`
}

function lines(values: readonly string[], perLine: number): string {
  const rows = Array.from({ length: Math.ceil(values.length / perLine) }, (_, row) => values.slice(row * perLine, (row + 1) * perLine))
  return rows.map((row) => `  ${row.join(', ')},\n`).join('')
}

export function modelHeader(model: IntegerModel, variants: readonly FirmwareVariant[], detector?: DetectorSettings): string {
  const { frontEnd, tensors, layers, classes } = model
  const { input, frames, frameSamples, frameHop, frameValues, hopSamples, ram } = variants[0].memory
  const values = tensors[0].shape.reduce((product, size) => product * size, 1)
  const isImage = frontEnd.kind === 'image'
  const audio = isImage
    ? ''
    : `
/* Audio: a frame is a window of samples that gives some values of the input; an answer takes so many of them. */
#define BW_SAMPLE_RATE ${frontEnd.sampleRate}u
#define BW_CLIP_SAMPLES ${frontEnd.samples}u
#define BW_FRAME_SAMPLES ${frameSamples}
#define BW_FRAME_HOP ${frameHop}
#define BW_FRAME_VALUES ${frameValues}u
#ifndef BW_HOP_SAMPLES
#define BW_HOP_SAMPLES ${hopSamples} /* from one answer to the next${input === 'stream' ? '' : '; any multiple of BW_FRAME_HOP'} */
#endif
${input === 'stream' ? `#define BW_STREAM_HOP ${hopSamples}\n#define BW_PLAN_BYTES ${ram.bw_plan}u\n` : ''}${detector ? detectorHeader(detector, frontEnd.sampleRate) : ''}`
  return `/* Made by bitwright: sizes and names of the model. */
#ifndef BITWRIGHT_MODEL_H
#define BITWRIGHT_MODEL_H
#include "core/bw.h"

#define BW_KIND ${kinds[frontEnd.kind]} /* ${frontEnd.kind} */
#define BW_CLASSES ${classes.length}u
#define BW_LOGIT_SCALE ${floatLiteral(tensors[layers[layers.length - 1].output].scale)}
#define BW_INPUT_VALUES ${values}u
${input === 'window' ? `#define BW_INPUT_BYTES ${ram.bw_heard}u\n` : ''}#define BW_FRAMES ${frames}${isImage ? ' /* none: images */' : ''}
#define BW_DETECTS ${detector && !isImage ? 1 : 0}
${audio}
${forEach(variants, ({ image, memory }) => `#define BW_MODEL_BYTES ${image.length}u\n#define BW_MEMORY_BYTES ${memory.ram.bw_memory}u\n`)}
extern const uint8_t bw_model_image[BW_MODEL_BYTES];
extern const char *const bw_class_names[BW_CLASSES];
${detector && !isImage ? 'extern const uint32_t bw_thresholds[BW_CLASSES]; /* in 2^-15 of a score where 65535 stands for one */\n' : ''}extern uint8_t bw_memory[BW_MEMORY_BYTES]; /* ${input === 'stream' ? 'the state of the stream' : 'the arena'}, and the buffers of the front end between runs */
${isSpectral(frontEnd) ? 'extern const bw_spectral bw_front_end_state;\n' : ''}${input === 'stream' ? `#define BW_SPECTRAL ${isSpectral(frontEnd) ? '&bw_front_end_state' : '0'}\n` : ''}
#endif
`
}

/**
 * The threshold of a class in 2^-15 of a score where 65535 stands for one; of an ignored class, what no average reaches. The runtime rounds its
 * averages to float32: half a unit in the last place is taken off, so that an average that is the threshold there is so here.
 */
export function thresholdUnits({ threshold, ignoredClasses }: DetectorSettings, label: string): number {
  if (ignoredClasses.includes(label)) return 2 ** 32 - 1
  const own = typeof threshold === 'number' ? threshold : (threshold[label] ?? defaultDetectorSettings.threshold)
  return Math.max(0, Math.floor((own - 2 ** -25) * 65535 * 2 ** 15))
}

function detectorHeader(detector: DetectorSettings, sampleRate: number): string {
  const { smoothingSamples, refractorySamples } = detectorSamples(detector, sampleRate)
  return `
/* Detections: scores are averaged over so long, and after one there is no other for so long. */
#define BW_SMOOTHING_SAMPLES ${smoothingSamples}
#define BW_REFRACTORY_SAMPLES ${refractorySamples}u
`
}

const tableNames = ['window', 'cosine', 'sine', 'triangles', 'dct', 'bandStart', 'bandCount'] as const

function frontEndSource(frontEnd: IntegerSpectralFrontEnd, tables: FrontEndTables, begin: number): string {
  const { re, im, power, energy } = frontEndBuffers(tables.size, frontEnd.melBands)
  const fields = tableNames.map((name) => {
    const table = tables[name]
    return `  ${table instanceof Float32Array ? 'float' : 'uint16_t'} ${name}[${table.length}];\n`
  })
  const values = tableNames.map((name) => {
    const table = tables[name]
    const texts = Array.from(table, (value) => (table instanceof Float32Array ? floatLiteral(value) : String(value)))
    return `  {\n${lines(texts, 8).replaceAll(/^/gm, '  ').trimEnd()}\n  },\n`
  })
  const { kind, sampleRate, samples, windowSamples, hopSamples, melBands, coefficients, lowHz, highHz } = frontEnd
  const at = (offset: number) => `(float *)(void *)(bw_memory + ${begin + offset})`
  const configuration = [kinds[kind], sampleRate, samples, windowSamples, hopSamples, melBands, coefficients]
  return `
const struct {
${fields.join('')}} bw_front_end_tables = {
${values.join('')}};

const bw_spectral bw_front_end_state = {
  {${configuration.join(', ')}, ${floatLiteral(lowHz)}, ${floatLiteral(highHz)}},
  ${tables.size},
  ${['window', 'cosine', 'sine', 'triangles', 'bandStart', 'bandCount', 'dct'].map((name) => `bw_front_end_tables.${name},`).join('\n  ')}
  {${re.map(at).join(', ')}},
  {${im.map(at).join(', ')}},
  ${at(power)},
  ${at(energy)},
};
`
}

export function modelSource(model: IntegerModel, variants: readonly FirmwareVariant[], detector?: DetectorSettings): string {
  const { frontEnd, classes } = model
  const bytes = forEach(
    variants,
    ({ image }) =>
      `const uint8_t bw_model_image[BW_MODEL_BYTES] __attribute__((aligned(16))) = {\n${lines(Array.from(image, String), 32)}};\n`,
  )
  const thresholds =
    detector && frontEnd.kind !== 'image'
      ? `const uint32_t bw_thresholds[BW_CLASSES] = {\n${lines(
          classes.map((label) => `${thresholdUnits(detector, label)}u`),
          8,
        )}};\n\n`
      : ''
  return `/* Made by bitwright: the model as constants. */
#include "model.h"
${isSpectral(frontEnd) ? '#include "core/front_end.h"\n' : ''}
const char *const bw_class_names[BW_CLASSES] = {
${classes.map((name) => `  ${stringLiteral(name)},\n`).join('')}};

${thresholds}${bytes}${isSpectral(frontEnd) ? frontEndSource(frontEnd, frontEndTables(frontEnd), variants[0].memory.frontEndOffset) : ''}`
}
