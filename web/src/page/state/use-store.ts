import { createContext } from "preact";
import { useContext, useEffect, useReducer } from "preact/hooks";

import type { Store } from "./store";

export const StoreContext = createContext<Store | null>(null);

/** The store; the component is drawn again whenever it changes. */
export function useStore(): Store {
  const store = useContext(StoreContext);
  const [, again] = useReducer((n: number) => n + 1, 0);
  useEffect(() => store?.subscribe(() => again(undefined)), [store]);
  if (!store) throw new Error("A component of the page stands outside of it.");
  return store;
}
