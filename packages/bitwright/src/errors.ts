// The two kinds of expected failure at the edge of the program: wrong use (exit code 2) and a failed run (exit code 1).
// Both carry one line that says what is wrong, where, and how to mend it; anything else that is thrown is a bug and keeps its stack.

/** The request itself is wrong: a flag, a path, a file that cannot be what was asked for. Exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** The request was fine and the work failed: broken data, a model that is refused, a budget nothing meets. Exit code 1. */
export class RunError extends Error {
  override readonly name = 'RunError'
}
