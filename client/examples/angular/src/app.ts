import { Component, signal } from "@angular/core";
import { EcgMonitor } from "./ecg-monitor";

@Component({
  selector: "app-root",
  imports: [EcgMonitor],
  template: `
    <app-ecg-monitor
      url="ws://localhost:8765/ws"
      stream="ecg/1"
      [leads]="leads()"
      (state)="said.set($event.text)"
    />
    <p id="said">{{ said() }}</p>
    <button type="button" (click)="leads.set(['II'])">Only lead II</button>
  `,
})
export class App {
  protected readonly said = signal("");
  protected readonly leads = signal(["I", "II", "V1"]);
}
