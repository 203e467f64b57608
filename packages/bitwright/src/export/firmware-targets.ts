// The processors that a firmware folder builds for and the emulator has a machine for.
import { type Kernels, packModel } from '@bitwright/runtime'

export const firmwareTargets = ['cortex-m0', 'cortex-m4', 'cortex-m7', 'cortex-m33', 'cortex-m55'] as const
export type FirmwareTarget = (typeof firmwareTargets)[number]

export const defaultTarget: FirmwareTarget = 'cortex-m4'

/** What each runs. */
export const targetKernels: Readonly<Record<FirmwareTarget, Kernels>> = {
  'cortex-m0': 'plain',
  'cortex-m4': 'dsp',
  'cortex-m7': 'dsp',
  'cortex-m33': 'dsp',
  'cortex-m55': 'helium',
}

/** The model as firmware with these kernels holds it. */
export const firmwareModel = packModel

/** QEMU's boards with them. */
export const targetMachines: Readonly<Record<FirmwareTarget, string>> = {
  'cortex-m0': 'mps2-an385',
  'cortex-m4': 'mps2-an386',
  'cortex-m7': 'mps2-an500',
  'cortex-m33': 'mps2-an505',
  'cortex-m55': 'mps3-an547',
}

/** How C tells that it is compiled for a family of kernels; plain C is what remains. */
export const kernelConditions: Readonly<Partial<Record<Kernels, string>>> = {
  helium: 'defined(__ARM_FEATURE_MVE)',
  dsp: 'defined(__ARM_FEATURE_DSP)',
}
