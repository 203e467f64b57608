// The model as C: model.h with its sizes and model.c with its bytes, names and the tables of its front end, all constant.
import {
  encodeModel,
  type FrontEndTables,
  frontEndTables,
  type IntegerModel,
  type IntegerSpectralFrontEnd,
  type Kernels,
} from '@bitwright/runtime'
import { firmwareMemory, type FirmwareMemory, frontEndBuffers, isSpectralFrontEnd } from '../hardware/index.ts'
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

export function modelHeader(model: IntegerModel, variants: readonly FirmwareVariant[]): string {
  const { frontEnd, tensors, layers, classes } = model
  const { frames, frameSamples, frameHop, frameValues, hopSamples, ram } = variants[0].memory
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
#define BW_HOP_SAMPLES ${hopSamples} /* from one answer to the next; any multiple of BW_FRAME_HOP */
#endif
`
  return `/* Made by bitwright: sizes and names of the model. */
#ifndef BITWRIGHT_MODEL_H
#define BITWRIGHT_MODEL_H
#include "core/bw.h"

#define BW_KIND ${kinds[frontEnd.kind]} /* ${frontEnd.kind} */
#define BW_CLASSES ${classes.length}u
#define BW_LOGIT_SCALE ${floatLiteral(tensors[layers[layers.length - 1].output].scale)}
#define BW_INPUT_VALUES ${values}u
#define BW_INPUT_BYTES ${isImage ? values : ram.bw_heard}u
#define BW_FRAMES ${frames}${isImage ? ' /* none: images */' : ''}
${audio}
${forEach(variants, ({ image, memory }) => `#define BW_MODEL_BYTES ${image.length}u\n#define BW_MEMORY_BYTES ${memory.ram.bw_memory}u\n`)}
extern const uint8_t bw_model_image[BW_MODEL_BYTES];
extern const char *const bw_class_names[BW_CLASSES];
extern uint8_t bw_memory[BW_MEMORY_BYTES]; /* the arena, and the buffers of the front end between runs */
${isSpectralFrontEnd(frontEnd) ? 'extern const bw_spectral bw_front_end_state;\n' : ''}
#endif
`
}

const tableNames = ['window', 'cosine', 'sine', 'triangles', 'dct', 'bandStart', 'bandCount'] as const

function frontEndSource(frontEnd: IntegerSpectralFrontEnd, tables: FrontEndTables): string {
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
  const at = (offset: number) => `(float *)(void *)(bw_memory + ${offset})`
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

export function modelSource(model: IntegerModel, variants: readonly FirmwareVariant[]): string {
  const { frontEnd, classes } = model
  const bytes = forEach(
    variants,
    ({ image }) =>
      `const uint8_t bw_model_image[BW_MODEL_BYTES] __attribute__((aligned(16))) = {\n${lines(Array.from(image, String), 32)}};\n`,
  )
  return `/* Made by bitwright: the model as constants. */
#include "model.h"
${isSpectralFrontEnd(frontEnd) ? '#include "core/front_end.h"\n' : ''}
const char *const bw_class_names[BW_CLASSES] = {
${classes.map((name) => `  ${stringLiteral(name)},\n`).join('')}};

${bytes}${isSpectralFrontEnd(frontEnd) ? frontEndSource(frontEnd, frontEndTables(frontEnd)) : ''}`
}
