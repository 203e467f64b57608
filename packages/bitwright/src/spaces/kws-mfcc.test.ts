import { expect, it } from 'vitest'
import { inferShapes } from '../network/shapes.ts'
import { testSpace } from './conformance.ts'
import { kwsMfcc } from './kws-mfcc.ts'

const classes = Array.from({ length: 12 }, (_, index) => `word${index}`)
for (const coefficients of [10, 20, 30, 40] as const) testSpace(`kws-mfcc ${coefficients}`, () => kwsMfcc({ classes, coefficients }))

testSpace('kws-mfcc streaming', () => kwsMfcc({ classes, streaming: true }))

it('keeps every coefficient in the first layer', () => {
  const space = kwsMfcc({ classes })
  expect(inferShapes(space.build(space.choices.map(() => 0))).get('first')).toEqual([25, 10, 10])
})
