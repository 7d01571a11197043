// Read a SEG as OHIF does, with Cornerstone3D's adapter, and print its mask as JSON.
//
//     node read_segmentation.mjs SOURCE.dcm SEG.dcm
//
// What a viewer knows of a picture without a position is what OHIF's provider of metadata gives: the axes of the screen.
import fs from 'node:fs';
import { metaData } from '@cornerstonejs/core';
import { adaptersSEG } from '@cornerstonejs/adapters';
import dcmjs from 'dcmjs';

const [source, segmentation] = process.argv.slice(2);
const read = (file) => {
  const bytes = fs.readFileSync(file);
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
};
const { DicomMessage, DicomMetaDictionary } = dcmjs.data;
const instance = DicomMetaDictionary.naturalizeDataset(DicomMessage.readFile(read(source)).dict);
const frames = Number(instance.NumberOfFrames ?? 1);
const imageIds = Array.from({ length: frames }, (_, number) => `test:source?frame=${number + 1}`);
const known = {
  instance,
  imagePlaneModule: {
    rows: instance.Rows,
    columns: instance.Columns,
    rowCosines: [1, 0, 0],
    columnCosines: [0, 1, 0],
    imageOrientationPatient: [1, 0, 0, 0, 1, 0],
    imagePositionPatient: [0, 0, 0],
    rowPixelSpacing: 1,
    columnPixelSpacing: 1,
    usingDefaultValues: true,
  },
  generalSeriesModule: { seriesInstanceUID: instance.SeriesInstanceUID, modality: 'US' },
  generalImageModule: { sopInstanceUID: instance.SOPInstanceUID },
  sopCommonModule: { sopInstanceUID: instance.SOPInstanceUID },
  imagePixelModule: { bitsAllocated: 8, bitsStored: 8, highBit: 7, samplesPerPixel: 1, pixelRepresentation: 0 },
};
const provider = {
  get: (kind, imageId) => (imageIds.includes(imageId) ? known[kind] : undefined),
  addCustomMetadata() {},
};
metaData.addProvider((kind, imageId) => provider.get(kind, imageId), 1000);

const { Segmentation } = adaptersSEG.Cornerstone3D;
const found = await Segmentation.createFromDICOMSegBuffer(imageIds, read(segmentation), { metadataProvider: provider });
const masks = found.labelMapImages[0].map((image) => Array.from(image.voxelManager.getScalarData()));
const segments = found.segMetadata.data.filter(Boolean).map((segment) => segment.SegmentLabel);
process.stdout.write(`\n${JSON.stringify({ rows: instance.Rows, columns: instance.Columns, segments, masks })}\n`);
