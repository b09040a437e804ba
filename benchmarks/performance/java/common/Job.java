import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;

/** What every job in Java does with one event: decode it with a streaming parser, name its five cohorts, find its bin. */
final class Job {
  static final String BOOTSTRAP = System.getenv("BENCH_BOOTSTRAP");
  static final String TOPIC = System.getenv("BENCH_TOPIC");
  static final long EVENTS = Long.parseLong(System.getenv("BENCH_EVENTS"));
  static final long MOST_MS = 1000L * Long.parseLong(System.getenv().getOrDefault("BENCH_MOST_S", "300"));
  static final String STATE = System.getenv("BENCH_STATE");
  static final long WINDOW_MS = 60_000;
  static final int BINS = 400;
  static final int FETCH_BYTES = 4 << 20;
  private static final double PER_BIN = 1 / Math.log(1.05);
  private static final JsonFactory JSON = new JsonFactory();

  private Job() {}

  static void say(String text) {
    System.out.println(text);
    System.out.flush();
  }

  static final class Event {
    long at;
    String release, tenant, workflow, intent, language;
    boolean success, handoff, incident;
    int costMicros;
    short bin;

    String[] keys() {
      return new String[] {
        release + "|all", release + "|tenant|" + tenant, release + "|workflow|" + workflow,
        release + "|intent|" + intent, release + "|language|" + language
      };
    }

    byte flags() {
      return (byte) ((success ? 1 : 0) | (handoff ? 2 : 0) | (incident ? 4 : 0));
    }
  }

  static Event decode(byte[] value) {
    Event event = new Event();
    try (JsonParser parser = JSON.createParser(value)) {
      for (JsonToken token; (token = parser.nextToken()) != null; ) {
        if (token == JsonToken.FIELD_NAME) {
          String name = parser.currentName();
          read(event, name, parser.nextToken(), parser);
        }
      }
    } catch (IOException broken) {
      throw new IllegalArgumentException(broken);
    }
    return event;
  }

  private static void read(Event event, String name, JsonToken token, JsonParser parser) throws IOException {
    switch (name) {
      case "at" -> event.at = parser.getLongValue();
      case "release" -> event.release = parser.getText();
      case "tenant" -> event.tenant = parser.getText();
      case "workflow" -> event.workflow = parser.getText();
      case "intent" -> event.intent = parser.getText();
      case "language" -> event.language = parser.getText();
      case "task_success" -> event.success = token == JsonToken.VALUE_TRUE;
      case "human_handoff" -> event.handoff = token == JsonToken.VALUE_TRUE;
      case "incident_severity" -> event.incident = true;
      case "latency_ms" -> event.bin = bin(parser.getDoubleValue());
      case "cost_usd" -> event.costMicros = (int) Math.round(parser.getDoubleValue() * 1e6);
      default -> { }
    }
  }

  private static short bin(double latencyMs) {
    return (short) Math.min(BINS - 1, (int) (Math.log(Math.max(1.0, latencyMs)) * PER_BIN));
  }
}
