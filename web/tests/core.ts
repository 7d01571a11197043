// What tests/page runs beside the Python definitions.
export { after, before, clean, resize } from "../src/operations";
export { measure, measureCase } from "../src/measures";
export { agreementOf, describePicture, intervalsOf, judge, signalsOf } from "../src/trust";
export { outsideOf } from "../src/calibration";
export { toCsv, toJson } from "../src/results";
import { openDicom } from "../src/dicom";
import { PictureError } from "../src/errors";
import { decodePicture, kindOf } from "../src/pictures";

/** The picture in a file whose numbers the page decodes itself, or the key of the message. */
export async function decoded(bytes: number[]): Promise<unknown> {
  const content = Uint8Array.from(bytes), kind = kindOf(content);
  try {
    return kind === null ? { error: "unknownFormat" } : await decodePicture(content, kind);
  } catch (error) {
    return { error: error instanceof PictureError ? error.key : String(error) };
  }
}

/** Rows and columns in millimetres of a DICOM picture, null where the page knows no scale. */
export async function spacingOf(bytes: number[]): Promise<unknown> {
  return (await openDicom(Uint8Array.from(bytes))).calibration.spacing;
}
