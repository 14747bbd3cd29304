import "ecgframe/monitor";
import type { EcgMonitor as Monitor, MonitorDetails, MonitorEvents } from "ecgframe/monitor";
import { defineComponent, h, type PropType } from "vue";

/** In a render function, so that the compiler of templates need not know the element. */
export default defineComponent({
  props: {
    url: String,
    stream: String,
    leads: Array as PropType<readonly string[]>,
    view: String as PropType<Monitor["view"]>,
    speed: Number as PropType<Monitor["speed"]>,
    gain: Number as PropType<Monitor["gain"]>,
    theme: String as PropType<Monitor["theme"]>,
    calipers: Boolean,
    token: [String, Function] as PropType<Monitor["token"]>,
    service: Object as PropType<Monitor["service"]>,
    detector: Function as PropType<Monitor["detector"]>,
  },
  emits: {
    state: (_: MonitorDetails["ecg-state"]) => true,
    loss: (_: MonitorDetails["ecg-loss"]) => true,
    error: (_: MonitorDetails["ecg-error"]) => true,
    measure: (_: MonitorDetails["ecg-measure"]) => true,
  },
  setup(props, { emit }) {
    return () =>
      h("ecg-monitor", {
        ...props,
        "onEcg-state": ({ detail }: MonitorEvents["ecg-state"]) => emit("state", detail),
        "onEcg-loss": ({ detail }: MonitorEvents["ecg-loss"]) => emit("loss", detail),
        "onEcg-error": ({ detail }: MonitorEvents["ecg-error"]) => emit("error", detail),
        "onEcg-measure": ({ detail }: MonitorEvents["ecg-measure"]) => emit("measure", detail),
      });
  },
});
