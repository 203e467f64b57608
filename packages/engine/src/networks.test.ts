// Whole small networks: what single layers cannot show, such as values with several consumers and buffers used again.
import { test } from 'vitest'
import { onEveryBackend } from './conformance/backends.ts'
import { conforms } from './conformance/compare.ts'
import { layer, type Program } from './conformance/program.ts'

const expansion = (factor: number): Program => (b) => {
  const x = b.batchNorm(b.convolution(b.input('x', 6, 1, 10), 'narrow', layer(16, [1, 1])), 'norm0')
  const wide = b.relu(b.batchNorm(b.convolution(x, 'expand', layer(16 * factor, [1, 1])), 'norm1'))
  b.output('y', b.batchNorm(b.convolution(wide, 'project', layer(17, [1, 1])), 'norm2'))
}

onEveryBackend((backend) => {
  test.each([1, 2, 3, 4, 5, 6, 8, 10])('an expansion by %i between batch norms', (factor) => conforms(expansion(factor), backend(), { batch: 3, seed: 1 }))
})
