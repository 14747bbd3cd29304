import { bootstrapApplication } from "@angular/platform-browser";
import { App } from "./app";
import "./styles.css";

bootstrapApplication(App).catch((error) => console.error(error));
