const NAMES: Readonly<Record<string, string>> = {
  samplingRate: "sampling_rate",
  deviceId: "device_id",
  patientId: "patient_id",
  leadUnits: "lead_units",
};
const TIMES: ReadonlySet<string> = new Set(["timestamp", "start", "end"]);

/** Returns the fields of a data message as they are sent: with their names in the protocol, and times in seconds. */
export function wireFields(data: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(data)) {
    fields[NAMES[name] ?? name] = TIMES.has(name) && typeof value === "number" ? value / 1000 : value;
  }
  return fields;
}
