import java.nio.ByteBuffer;

/** Counts of one cohort and window: public fields and an empty constructor, as Flink's own serializer asks for. */
public class Cell {
  public long requests, successes, handoffs, incidents, costMicros;
  public int[] bins = new int[Job.BINS];

  Cell add(byte flags, int cost, short bin) {
    requests++;
    successes += flags & 1;
    handoffs += flags >> 1 & 1;
    incidents += flags >> 2 & 1;
    costMicros += cost;
    bins[bin]++;
    return this;
  }

  byte[] packed() {
    int low = 0, high = bins.length;
    while (low < high && bins[low] == 0) low++;
    while (high > low && bins[high - 1] == 0) high--;
    ByteBuffer out = ByteBuffer.allocate(44 + 4 * (high - low));
    out.putLong(requests).putLong(successes).putLong(handoffs).putLong(incidents).putLong(costMicros);
    out.putShort((short) low).putShort((short) high);
    for (int at = low; at < high; at++) out.putInt(bins[at]);
    return out.array();
  }

  static Cell unpacked(byte[] packed) {
    ByteBuffer in = ByteBuffer.wrap(packed);
    Cell cell = new Cell();
    cell.requests = in.getLong();
    cell.successes = in.getLong();
    cell.handoffs = in.getLong();
    cell.incidents = in.getLong();
    cell.costMicros = in.getLong();
    int low = in.getShort(), high = in.getShort();
    for (int at = low; at < high; at++) cell.bins[at] = in.getInt();
    return cell;
  }
}
