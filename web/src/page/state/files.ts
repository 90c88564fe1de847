/** What a file is, by its name and type. */

export interface Sorted {
  models: File[];
  /** Labels or saved views. */
  texts: File[];
  /** All others: the engine says what it cannot read. */
  pictures: File[];
}

export function sorted(files: File[]): Sorted {
  const ends = (file: File, ...ends: string[]) => ends.some((end) => file.name.toLowerCase().endsWith(end));
  const isModel = (file: File) => ends(file, ".onnx");
  const isText = (file: File) =>
    ends(file, ".txt", ".json", ".csv", ".names") || file.type.startsWith("text/");
  return {
    models: files.filter(isModel),
    texts: files.filter((file) => !isModel(file) && isText(file)),
    pictures: files.filter((file) => !isModel(file) && !isText(file)),
  };
}

/** Pictures and files of a paste; screenshots come without a useful name. */
export function pasted(data: DataTransfer | null): File[] {
  return Array.from(data?.files ?? []);
}
