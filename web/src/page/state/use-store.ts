import { createContext } from "preact";
import { useContext, useLayoutEffect, useReducer } from "preact/hooks";

import type { Store } from "./store";

export const StoreContext = createContext<Store | null>(null);

/** The store; the component is drawn again whenever it changes. */
export function useStore(): Store {
  const store = useContext(StoreContext);
  const [, again] = useReducer((n: number) => n + 1, 0);
  const drawn = store?.version;
  useLayoutEffect(() => {
    const stop = store?.subscribe(() => again(undefined));
    if (store && store.version !== drawn) again(undefined); // it changed before anybody listened
    return stop;
  }, [store]);
  if (!store) throw new Error("A component of the page stands outside of it.");
  return store;
}
