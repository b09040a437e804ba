import java.time.Duration;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.sink.legacy.SinkFunction;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.util.Collector;

/**
 * Flink's DataStream API, parallelism 2, exactly-once checkpoints every second to a local disk. usage: FlinkJob
 * hashmap|rocksdb
 *
 * <p>Bounded source, flatMap to five keys, keyBy, 60 s tumbling windows of event time, a sink that adds up.
 */
public class FlinkJob {
  private static final AtomicLong seen = new AtomicLong(), counted = new AtomicLong();

  /** One event in one cohort; fields and constructor as Flink's own serializer asks for. */
  public static class Fact {
    public String key;
    public byte flags;
    public int cost;
    public short bin;
    public long at;

    public Fact() {}

    Fact(String key, Job.Event event) {
      this.key = key;
      flags = event.flags();
      cost = event.costMicros;
      bin = event.bin;
      at = event.at;
    }
  }

  /** Decodes, and hands on five facts an event: no more objects than are needed cross an operator. */
  public static class Traces implements DeserializationSchema<Fact> {
    @Override
    public Fact deserialize(byte[] value) {
      throw new UnsupportedOperationException("the collecting form is called");
    }

    @Override
    public void deserialize(byte[] value, Collector<Fact> out) {
      if (seen.getAndIncrement() == 0) Job.say("START");
      Job.Event event = Job.decode(value);
      for (String key : event.keys()) out.collect(new Fact(key, event));
    }

    @Override
    public boolean isEndOfStream(Fact next) {
      return false;
    }

    @Override
    public TypeInformation<Fact> getProducedType() {
      return TypeInformation.of(Fact.class);
    }
  }

  /** Adds facts to a cell. */
  public static class Fold implements AggregateFunction<Fact, Cell, Cell> {
    @Override
    public Cell createAccumulator() {
      return new Cell();
    }

    @Override
    public Cell add(Fact fact, Cell cell) {
      return cell.add(fact.flags, fact.cost, fact.bin);
    }

    @Override
    public Cell getResult(Cell cell) {
      return cell;
    }

    @Override
    public Cell merge(Cell one, Cell other) {
      throw new UnsupportedOperationException("tumbling windows are never merged");
    }
  }

  /** Adds up what the windows hold. */
  public static class Sum implements SinkFunction<Cell> {
    @Override
    public void invoke(Cell cell, Context context) {
      counted.addAndGet(cell.requests);
    }
  }

  private static Configuration settings(String backend) {
    Configuration given = new Configuration();
    given.setString("state.backend.type", backend);
    given.setString("execution.checkpointing.interval", "1s");
    given.setString("execution.checkpointing.mode", "EXACTLY_ONCE");
    given.setString("execution.checkpointing.dir", "file://" + Job.STATE);
    given.setString("execution.checkpointing.incremental", String.valueOf(backend.equals("rocksdb")));
    given.setString("pipeline.object-reuse", "true");
    given.setString("taskmanager.memory.network.max", "256m");
    given.setString("taskmanager.memory.managed.size", "512m");
    return given;
  }

  public static void main(String[] arguments) throws Exception {
    var environment = StreamExecutionEnvironment.createLocalEnvironment(2, settings(arguments[0]));
    KafkaSource<Fact> source = KafkaSource.<Fact>builder().setBootstrapServers(Job.BOOTSTRAP).setTopics(Job.TOPIC)
        .setGroupId("flink-" + System.nanoTime()).setStartingOffsets(OffsetsInitializer.earliest())
        .setBounded(OffsetsInitializer.latest()).setValueOnlyDeserializer(new Traces())
        .setProperty("max.poll.records", "5000")
        .setProperty("max.partition.fetch.bytes", String.valueOf(Job.FETCH_BYTES)).build();
    environment
        .fromSource(source, WatermarkStrategy.<Fact>forBoundedOutOfOrderness(Duration.ofSeconds(5))
            .withTimestampAssigner((fact, stamp) -> fact.at), "traces")
        .keyBy(fact -> fact.key)
        .window(TumblingEventTimeWindows.of(Duration.ofMillis(Job.WINDOW_MS)))
        .allowedLateness(Duration.ofMinutes(2))
        .aggregate(new Fold(), TypeInformation.of(Cell.class), TypeInformation.of(Cell.class))
        .addSink(new Sum());
    environment.execute(); // returns after the last checkpoint
    Job.say("END " + counted.get() / 5);
    System.exit(0);
  }
}
