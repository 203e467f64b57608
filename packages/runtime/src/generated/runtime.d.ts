// What the bundle exports.
export * from '../browser.ts'
