// All export targets.
import { bw } from './bw.ts'
import type { Exporter } from './exporter.ts'
import { firmware } from './firmware.ts'
import { onnx } from './onnx.ts'
import { web } from './web.ts'

export type { ExportedFile, Exporter, ExportOptions, ExportSource } from './exporter.ts'
export { parseDetectorSettings } from './detector-settings.ts'
export { type FloatNetwork, floatNetwork } from './float-network.ts'
export { onnxModel, type OnnxOptions } from './onnx.ts'
export { floatOnnxModel } from './onnx-float.ts'

export const exporters: readonly Exporter[] = [onnx, firmware, web, bw]
