import { expect, it } from 'vitest'
import { mistakesSection } from './mistakes.ts'

const picture = 'data:image/bmp;base64,Qk0AAA=='
const evaluation = (mistakes: { path: string; label: number; answer: number; picture: string }[]) =>
  ({ type: 'evaluation', split: 'test', mistakes }) as const

it('shows each picture with what the model says and what it is', () => {
  const { markup } = mistakesSection(evaluation([{ path: 'test_batch.bin#7', label: 1, answer: 0, picture }]), ['cat', 'dog'])
  expect(markup).toContain(`<img src="${picture}" alt="dog" />`)
  expect(markup).toMatch(/<b>cat<\/b><span>dog<\/span>/)
})

it('is empty without pictures, and shows nothing but pictures', () => {
  expect(mistakesSection(undefined, ['cat', 'dog']).markup).toBe('')
  expect(mistakesSection(evaluation([]), ['cat', 'dog']).markup).toBe('')
  for (const attack of ['https://example.org/x.png', 'data:text/html;base64,AAAA', `${picture}" onerror="alert(1)`, 'javascript:alert(1)'])
    expect(mistakesSection(evaluation([{ path: 'x', label: 1, answer: 0, picture: attack }]), ['cat', 'dog']).markup).toBe('')
  const hostile = mistakesSection(evaluation([{ path: '"><script>', label: 1, answer: 0, picture }]), ['<b>', '<i>']).markup
  expect(hostile).not.toMatch(/<script|<i>|<b><b>/)
})
