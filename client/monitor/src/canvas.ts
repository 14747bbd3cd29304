/** What the paper and the traces are drawn with: a canvas of a page, or of a worker. */
export type Canvas2D = CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D;
