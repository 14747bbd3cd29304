/** A number cannot become a sample. Has the reason and the index of the sample. */
export class SampleFault extends Error {
  readonly index: number;

  constructor(why: string, index: number) {
    super(why);
    this.index = index;
  }
}
