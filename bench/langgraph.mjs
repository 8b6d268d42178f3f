// SPDX-License-Identifier: Apache-2.0
// langgraph.mjs FOLDER SECONDS: LangGraph with its SQLite saver, each commit synced: durable steps a
// second of graphs of five nodes that do nothing, 1, 10 and 50 of them at a time. Run where its
// packages are.
import { Annotation, END, START, StateGraph } from "@langchain/langgraph";
import { SqliteSaver } from "@langchain/langgraph-checkpoint-sqlite";

const [folder, seconds] = [process.argv[2], Number(process.argv[3])];
const saver = SqliteSaver.fromConnString(`${folder}/langgraph.db`);
saver.setup();
saver.db.pragma("synchronous = FULL");
const State = Annotation.Root({ count: Annotation() });
let graph = new StateGraph(State);
for (let i = 1; i <= 5; i++) graph = graph.addNode(`s${i}`, (state) => ({ count: state.count + 1 }));
graph = graph.addEdge(START, "s1");
for (let i = 1; i < 5; i++) graph = graph.addEdge(`s${i}`, `s${i + 1}`);
const app = graph.addEdge("s5", END).compile({ checkpointer: saver });

let runs = 0;
async function chain(until) {
    let steps = 0;
    while (performance.now() < until) {
        const result = await app.invoke({ count: 0 }, { configurable: { thread_id: `t${runs++}` }, durability: "sync" });
        if (result.count !== 5) throw new Error(`five steps counted ${result.count}`);
        steps += 5;
    }
    return steps;
}
for (const count of [1, 10, 50]) {
    const began = performance.now();
    const steps = await Promise.all(Array.from({ length: count }, () => chain(began + seconds * 1000)));
    console.log(count, (steps.reduce((a, b) => a + b) / ((performance.now() - began) / 1000)).toFixed(1));
}
