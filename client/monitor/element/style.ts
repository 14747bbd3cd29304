/** The style of `<ecg-monitor>`, as a constructed style sheet: it needs no `style-src 'unsafe-inline'`. */

const TEXT = `
:host {
  display: grid;
  grid-template: auto auto minmax(0, 1fr) / minmax(0, 1fr);
  min-height: 160px;
  overflow: hidden;
  contain: content;
  background: var(--ecg-paper, #05090b);
  color: var(--ecg-text, #d7e6e2);
  font: var(--ecg-font, 13px/1.4 system-ui, sans-serif);
}
:host([theme="light"]) {
  background: var(--ecg-paper, #fffaf8);
  color: var(--ecg-text, #26313a);
}
:host([hidden]) {
  display: none;
}
[hidden] {
  display: none !important;
}
.line {
  display: flex;
  flex-wrap: wrap;
  align-items: baseline;
  gap: 2px 12px;
  padding: 3px 8px;
  min-height: 1.4em;
}
.state::before {
  content: "";
  display: inline-block;
  width: 0.6em;
  height: 0.6em;
  margin-right: 0.5em;
  border-radius: 50%;
  background: var(--ecg-warn, #f2b544);
}
.state {
  font-weight: 600;
}
:host([data-state="live"]) .state::before,
.state[data-state="live"]::before {
  background: var(--ecg-good, #3ff08f);
}
.state[data-state="lost"]::before,
.state[data-state="denied"]::before,
.state[data-state="old"]::before {
  border-radius: 0;
  background: var(--ecg-alarm, #c81e32);
}
.rate {
  font-size: 1.5em;
  font-weight: 700;
  margin-left: auto;
}
.bed {
  font-weight: 600;
}
.clock {
  font-variant-numeric: tabular-nums;
}
.bed:empty,
.patient:empty,
.user:empty,
.clock:empty,
.faults:empty,
.gaps:empty,
.reading:empty,
.rate:empty {
  display: none;
}
.faults {
  border: 1px dashed;
  padding: 0 6px;
  color: var(--ecg-fault, #f2b544);
}
:host([theme="light"]) .faults {
  color: var(--ecg-fault, #7a4b00);
}
.notice {
  display: flex;
  flex-wrap: wrap;
  gap: 2px 12px;
  align-items: baseline;
  padding: 6px 8px;
  margin: 0;
  background: var(--ecg-alarm, #c81e32);
  color: var(--ecg-on-alarm, #fff);
  overflow-wrap: anywhere;
}
.notice button {
  font: inherit;
  margin-left: auto;
}
.stage {
  grid-row: 3;
  position: relative;
  min-height: 0;
  min-width: 0;
  overflow: hidden;
  border: 3px solid transparent;
}
.stage.lost {
  border-color: var(--ecg-alarm, #c81e32);
}
.stage.lost:not(.frozen) .traces {
  opacity: 0.45;
}
.scroller {
  display: grid;
  width: 100%;
  height: 100%;
  overflow: hidden;
  justify-content: start;
  align-content: start;
}
.scroller.sheet {
  justify-content: safe center;
  align-content: safe center;
}
.scroller.scroll {
  overflow: auto;
}
canvas {
  grid-area: 1 / 1;
  display: block;
}
.labels {
  pointer-events: none;
}
.overlay {
  touch-action: pan-x pan-y;
}
:host([calipers]) .overlay {
  cursor: crosshair;
}
.overlay:focus-visible {
  outline: 2px solid var(--ecg-caliper, #ffd166);
  outline-offset: -2px;
}
`;

let made: CSSStyleSheet | undefined;

/** One sheet for all elements of the page. */
export function styleSheet(): CSSStyleSheet {
  if (made === undefined) {
    made = new CSSStyleSheet();
    made.replaceSync(TEXT);
  }
  return made;
}
