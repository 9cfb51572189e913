// Writes the golden batches of Kafka's own encoder; see ../README.md for how to run it.
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.CompressionType;
import org.apache.kafka.common.record.ControlRecordType;
import org.apache.kafka.common.record.EndTransactionMarker;
import org.apache.kafka.common.record.MemoryRecords;
import org.apache.kafka.common.record.MemoryRecordsBuilder;
import org.apache.kafka.common.record.Record;
import org.apache.kafka.common.record.RecordBatch;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.utils.BufferSupplier;
import org.apache.kafka.common.utils.ByteBufferOutputStream;
import org.apache.kafka.common.utils.Utils;

public class KafkaBatches {
  static final long BASE = 1700000000000L;
  static Path folder;

  public static void main(String[] arguments) throws IOException {
    folder = Path.of(arguments[0]);
    for (CompressionType type : CompressionType.values()) {
      write("java-" + type.name, batch(type, 0, TimestampType.CREATE_TIME, -1, (short) -1, -1, false));
    }
    write("java-producer", batch(CompressionType.NONE, 5_000_000_000L, TimestampType.CREATE_TIME, 4_294_967_299L, (short) 7, 2147483600, true));
    write("java-log-append-time", batch(CompressionType.NONE, 0, TimestampType.LOG_APPEND_TIME, -1, (short) -1, -1, false));
    for (ControlRecordType type : new ControlRecordType[] {ControlRecordType.COMMIT, ControlRecordType.ABORT}) {
      MemoryRecords marker = MemoryRecords.withEndTransactionMarker(0, BASE, -1, 4_294_967_299L, (short) 7, new EndTransactionMarker(type, 11));
      write("java-" + type.name().toLowerCase(), marker.buffer());
    }
    ByteBuffer original = batch(CompressionType.NONE, 40, TimestampType.CREATE_TIME, 99, (short) 1, 1000, false);
    write("java-compacted-some", filtered(original.duplicate(), record -> record.offset() % 7 == 3, RecordBatch.NO_TIMESTAMP));
    write("java-compacted-none-left", filtered(original.duplicate(), record -> false, RecordBatch.NO_TIMESTAMP));
    write("java-compacted-horizon", filtered(original.duplicate(), record -> record.offset() % 7 == 3, BASE + 86_400_000L));
    StringBuilder hashes = new StringBuilder();
    for (String key : new String[] {"", "a", "ab", "abc", "abcd", "21", "foobar", "a-little-bit-long-string", "a-little-bit-longer-string", "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", "zürich", "\u65e5\u672c\u8a9e"}) {
      hashes.append(key).append('\t').append(Utils.murmur2(key.getBytes(StandardCharsets.UTF_8))).append('\n');
    }
    Files.writeString(folder.resolve("java-murmur2.tsv"), hashes);
  }

  static ByteBuffer batch(CompressionType type, long baseOffset, TimestampType timestampType, long producerId, short epoch, int sequence, boolean transactional) {
    MemoryRecordsBuilder builder = MemoryRecords.builder(ByteBuffer.allocate(1 << 20), RecordBatch.MAGIC_VALUE_V2,
        Compression.of(type).build(), timestampType, baseOffset, timestampType == TimestampType.LOG_APPEND_TIME ? BASE + 123456 : -1,
        producerId, epoch, sequence, transactional, -1);
    builder.append(BASE, utf8("k"), utf8("v"));
    builder.append(BASE + 1, null, utf8("only a value"));
    builder.append(BASE + 1000, utf8("tombstone"), null);
    builder.append(BASE + 70_000, utf8(""), utf8(""), new Header[] {
        new RecordHeader("h", utf8("x")), new RecordHeader("h", null), new RecordHeader("\u00e9", utf8("\u00fc"))});
    builder.append(BASE - 5, utf8("earlier"), utf8("a".repeat(300)));
    builder.append(BASE + 5_000_000_000L, utf8("much later"), utf8("b".repeat(70)));
    for (int index = 6; index < 300; index++) {
      builder.append(BASE + index * 10L, index % 3 == 0 ? null : utf8("key-" + index % 10), utf8("line " + index + " of some text that repeats itself"));
    }
    return builder.build().buffer();
  }

  interface Keep { boolean test(Record record); }

  static ByteBuffer filtered(ByteBuffer bytes, Keep keep, long deleteHorizonMs) {
    MemoryRecords.RecordFilter filter = new MemoryRecords.RecordFilter(BASE, 0) {
      @Override
      protected BatchRetentionResult checkBatchRetention(RecordBatch batch) {
        return new BatchRetentionResult(BatchRetention.RETAIN_EMPTY, false);
      }
      @Override
      protected boolean shouldRetainRecord(RecordBatch batch, Record record) {
        return keep.test(record);
      }
    };
    ByteBuffer output = ByteBuffer.allocate(1 << 20);
    if (deleteHorizonMs == RecordBatch.NO_TIMESTAMP) {
      MemoryRecords.readableRecords(bytes).filterTo(filter, output, BufferSupplier.NO_CACHING);
      output.flip();
      return output;
    }
    // filterTo sets a horizon only for batches with tombstones or markers at its own time; so the horizon is built directly.
    List<Record> kept = new ArrayList<>();
    RecordBatch batch = MemoryRecords.readableRecords(bytes).batches().iterator().next();
    for (Record record : batch) if (keep.test(record)) kept.add(record);
    MemoryRecordsBuilder builder = new MemoryRecordsBuilder(new ByteBufferOutputStream(output), RecordBatch.MAGIC_VALUE_V2, Compression.NONE, batch.timestampType(),
        batch.baseOffset(), -1, batch.producerId(), batch.producerEpoch(), batch.baseSequence(), false, false,
        batch.partitionLeaderEpoch(), output.limit(), deleteHorizonMs);
    for (Record record : kept) builder.append(record);
    builder.overrideLastOffset(batch.lastOffset());
    return builder.build().buffer();
  }

  static byte[] utf8(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  static void write(String name, ByteBuffer buffer) throws IOException {
    byte[] bytes = new byte[buffer.remaining()];
    buffer.duplicate().get(bytes);
    Files.write(folder.resolve(name + ".batch"), bytes);
  }
}
