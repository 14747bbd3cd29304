import { useState } from "react";
import { EcgMonitor } from "./EcgMonitor";
import "./App.css";

export default function App() {
  const [said, setSaid] = useState("");
  const [leads, setLeads] = useState(["I", "II", "V1"]);
  return (
    <>
      <EcgMonitor
        className="bed"
        url="ws://localhost:8765/ws"
        stream="ecg/1"
        leads={leads}
        onState={({ text }) => setSaid(text)}
      />
      <p id="said">{said}</p>
      <button type="button" onClick={() => setLeads(["II"])}>
        Only lead II
      </button>
    </>
  );
}
