import "ecgframe/monitor";
import { Component, CUSTOM_ELEMENTS_SCHEMA, input, output } from "@angular/core";
import type { EcgMonitor as Monitor, MonitorDetails } from "ecgframe/monitor";

@Component({
  selector: "app-ecg-monitor",
  schemas: [CUSTOM_ELEMENTS_SCHEMA],
  template: `
    <ecg-monitor
      class="bed"
      [url]="url()"
      [stream]="stream()"
      [leads]="leads()"
      [view]="view()"
      [speed]="speed()"
      [gain]="gain()"
      [theme]="theme()"
      [calipers]="calipers()"
      [token]="token()"
      [service]="service()"
      [detector]="detector()"
      (ecg-state)="state.emit($event.detail)"
      (ecg-loss)="loss.emit($event.detail)"
      (ecg-error)="failed.emit($event.detail)"
      (ecg-measure)="measure.emit($event.detail)"
    />
  `,
})
export class EcgMonitor {
  readonly url = input<string>();
  readonly stream = input<string>();
  readonly leads = input<readonly string[]>([]);
  readonly view = input<Monitor["view"]>();
  readonly speed = input<Monitor["speed"]>();
  readonly gain = input<Monitor["gain"]>();
  readonly theme = input<Monitor["theme"]>();
  readonly calipers = input(false);
  readonly token = input<Monitor["token"]>();
  readonly service = input<Monitor["service"]>(null);
  readonly detector = input<Monitor["detector"]>(null);
  readonly state = output<MonitorDetails["ecg-state"]>();
  readonly loss = output<MonitorDetails["ecg-loss"]>();
  readonly failed = output<MonitorDetails["ecg-error"]>();
  readonly measure = output<MonitorDetails["ecg-measure"]>();
}
