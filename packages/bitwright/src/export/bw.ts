// The .bw file itself, as the runtime and the core load it (docs/bw-format.md).
import type { Exporter } from './exporter.ts'

export const bw: Exporter = {
  name: 'bw',
  summary: 'the model file of the runtime and the core',
  files: ({ file }) => [{ path: 'model.bw', bytes: file }],
}
