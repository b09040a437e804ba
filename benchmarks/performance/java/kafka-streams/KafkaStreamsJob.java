import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.WindowStore;

/**
 * Kafka Streams, exactly_once_v2, RocksDB and changelog, two threads. usage: KafkaStreamsJob dsl|processor
 *
 * <p>dsl: flatMap to five keys, groupByKey (a topic between), windowed aggregate. processor: the same counts in a window
 * store of each input partition, no topic between.
 */
public class KafkaStreamsJob {
  private static final Duration RETENTION = Duration.ofMinutes(60);
  private static final AtomicLong seen = new AtomicLong(), folded = new AtomicLong();

  /** What the topic between carries: 15 bytes an event and cohort. */
  record Facts(byte flags, int cost, short bin, long at) {
    static Facts of(Job.Event event) {
      return new Facts(event.flags(), event.costMicros, event.bin, event.at);
    }
  }

  private static final Serde<Facts> FACTS = Serdes.serdeFrom(
      (topic, facts) -> ByteBuffer.allocate(15).put(facts.flags).putInt(facts.cost).putShort(facts.bin)
          .putLong(facts.at).array(),
      (topic, packed) -> {
        ByteBuffer in = ByteBuffer.wrap(packed);
        return new Facts(in.get(), in.getInt(), in.getShort(), in.getLong());
      });
  private static final Serde<Cell> CELL = Serdes.serdeFrom(
      (topic, cell) -> cell == null ? null : cell.packed(),
      (topic, packed) -> packed == null ? null : Cell.unpacked(packed));
  private static final Serde<Job.Event> EVENT =
      Serdes.serdeFrom((topic, event) -> null, (topic, value) -> Job.decode(value));

  private static void saw() {
    if (seen.getAndIncrement() == 0) Job.say("START");
  }

  private static void dsl(KStream<byte[], Job.Event> traces) {
    traces.flatMap((key, event) -> {
          saw();
          Facts facts = Facts.of(event);
          List<KeyValue<String, Facts>> out = new ArrayList<>(5);
          for (String cohort : event.keys()) out.add(KeyValue.pair(cohort, facts));
          return out;
        })
        .groupByKey(Grouped.with(Serdes.String(), FACTS))
        .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofMillis(Job.WINDOW_MS), Duration.ofMinutes(15)))
        .aggregate(Cell::new, (key, facts, cell) -> {
          folded.incrementAndGet();
          return cell.add(facts.flags, facts.cost, facts.bin);
        }, Materialized.<String, Cell, WindowStore<Bytes, byte[]>>as("cells").withKeySerde(Serdes.String())
            .withValueSerde(CELL).withRetention(RETENTION));
  }

  private static final class InPartition implements Processor<byte[], Job.Event, Void, Void> {
    private WindowStore<String, Cell> cells;

    @Override
    public void init(ProcessorContext<Void, Void> context) {
      cells = context.getStateStore("cells");
    }

    @Override
    public void process(Record<byte[], Job.Event> record) {
      saw();
      Job.Event event = record.value();
      long window = event.at / Job.WINDOW_MS * Job.WINDOW_MS;
      for (String cohort : event.keys()) {
        Cell cell = cells.fetch(cohort, window);
        Cell grown = (cell == null ? new Cell() : cell).add(event.flags(), event.costMicros, event.bin);
        cells.put(cohort, grown, window);
        folded.incrementAndGet();
      }
    }
  }

  private static Properties settings(String mode) {
    Properties given = new Properties();
    given.put(StreamsConfig.APPLICATION_ID_CONFIG, "kafka-streams-" + mode + "-" + System.nanoTime());
    given.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, Job.BOOTSTRAP);
    given.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    given.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
    given.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 1000);
    given.put(StreamsConfig.STATE_DIR_CONFIG, Job.STATE);
    given.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64L << 20);
    given.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
    given.put(ConsumerConfig.MAX_POLL_RECORDS_CONFIG, 5000);
    given.put(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG, Job.FETCH_BYTES);
    given.put(StreamsConfig.producerPrefix("linger.ms"), 20);
    given.put(StreamsConfig.producerPrefix("batch.size"), 262144);
    given.put(StreamsConfig.producerPrefix("compression.type"), "lz4");
    return given;
  }

  public static void main(String[] arguments) throws Exception {
    String mode = arguments[0];
    StreamsBuilder builder = new StreamsBuilder();
    KStream<byte[], Job.Event> traces = builder.stream(Job.TOPIC, Consumed.with(Serdes.ByteArray(), EVENT)
        .withTimestampExtractor((record, partitionTime) -> ((Job.Event) record.value()).at));
    if (mode.equals("dsl")) {
      dsl(traces);
    } else {
      builder.addStateStore(Stores.windowStoreBuilder(Stores.persistentWindowStore("cells", RETENTION,
          Duration.ofMillis(Job.WINDOW_MS), false), Serdes.String(), CELL).withCachingEnabled());
      traces.process(InPartition::new, "cells");
    }
    KafkaStreams streams = new KafkaStreams(builder.build(), settings(mode));
    streams.start();
    long until = System.currentTimeMillis() + Job.MOST_MS;
    while (folded.get() < 5 * Job.EVENTS && System.currentTimeMillis() < until) Thread.sleep(20);
    long events = folded.get() / 5;
    Thread.sleep(1000); // one commit interval: what was folded is durable
    Job.say("END " + events);
    streams.close(Duration.ofSeconds(5));
    streams.cleanUp();
    System.exit(0);
  }
}
