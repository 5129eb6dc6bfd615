// What the parts of a widget tell each other about.

/** Who listens to which topic, in the order in which they began to. */
export function createTopics<T extends string>() {
  const listeners: Array<readonly [topics: readonly T[], fn: () => void]> = [];
  return {
    on(topics: readonly T[], fn: () => void): void {
      listeners.push([topics, fn]);
    },
    emit(topic: T): void {
      for (const [topics, fn] of listeners) if (topics.includes(topic)) fn();
    },
  };
}
