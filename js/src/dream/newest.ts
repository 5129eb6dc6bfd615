// One piece of slow work at a time; of what comes meanwhile only the newest is done next. So what
// is shown never goes back, and never lies more than one piece behind.

export interface Newest<I> {
  put(input: I): void;
}

export interface NewestProps<I, O> {
  work(input: I): Promise<O>;
  /** What becomes of a result. */
  use(output: O, input: I): void;
  /** What becomes of one that is worth nothing any more. */
  drop(output: O): void;
  failed(error: unknown): void;
}

export function createNewest<I, O>(props: NewestProps<I, O>, signal: AbortSignal): Newest<I> {
  let busy = false;
  let waiting: { input: I } | null = null;
  return { put };

  function put(input: I): void {
    waiting = { input };
    if (!busy) void run();
  }

  async function run(): Promise<void> {
    busy = true;
    while (waiting && !signal.aborted) {
      const { input } = waiting;
      waiting = null;
      try {
        const output = await props.work(input);
        // Shown although a newer one may wait: under load none would ever be.
        if (signal.aborted) props.drop(output);
        else props.use(output, input);
      } catch (error) {
        props.failed(error);
      }
    }
    busy = false;
  }
}
