import "ecgframe/monitor";
import type { EcgMonitor as Monitor, MonitorDetails } from "ecgframe/monitor";
import { createElement, useEffect, useLayoutEffect, useRef } from "react";

type Attributes = Partial<
  Pick<
    Monitor,
    "url" | "stream" | "leads" | "view" | "speed" | "gain" | "theme" | "calipers" | "token" | "service" | "detector"
  >
>;

export interface EcgMonitorProps extends Attributes {
  className?: string;
  onState?(detail: MonitorDetails["ecg-state"]): void;
  onLoss?(detail: MonitorDetails["ecg-loss"]): void;
  onError?(detail: MonitorDetails["ecg-error"]): void;
  onMeasure?(detail: MonitorDetails["ecg-measure"]): void;
}

export function EcgMonitor({ className, onState, onLoss, onError, onMeasure, ...attributes }: EcgMonitorProps) {
  const monitor = useRef<Monitor>(null);
  useLayoutEffect(() => {
    if (monitor.current) Object.assign(monitor.current, attributes); // properties, so that functions arrive, too
  });
  useEffect(() => {
    const element = monitor.current;
    if (!element) return;
    const stop = new AbortController();
    const { signal } = stop;
    element.addEventListener("ecg-state", ({ detail }) => onState?.(detail), { signal });
    element.addEventListener("ecg-loss", ({ detail }) => onLoss?.(detail), { signal });
    element.addEventListener("ecg-error", ({ detail }) => onError?.(detail), { signal });
    element.addEventListener("ecg-measure", ({ detail }) => onMeasure?.(detail), { signal });
    return () => stop.abort();
  }, [onState, onLoss, onError, onMeasure]);
  return createElement("ecg-monitor", { ref: monitor, class: className });
}
