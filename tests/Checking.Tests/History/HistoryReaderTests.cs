using System.IO.Compression;
using System.Text;
using CsCheck;
using Fleet.Checking.History;
using Fleet.Checking.Tests.Rules;
using Fleet.Kernel;
using Fleet.Kernel.History;

namespace Fleet.Checking.Tests.History;

[Trait("tier", "fast")]
public sealed class HistoryReaderTests
{
    private const string Header =
        """{"format":"fleet-history","version":1,"run":"r","source":"hand","profile":"ALL"}""";

    private const string Event = """{"ev":"bind_begin","obj":"dev:h/1","gen":1,"seq":1,"life":1,"t":5}""";

    private static readonly Gen<string?> Text = Gen.OneOf(
        Gen.Const((string?)null), Gen.String[Gen.Char["abc:/.#\"\\\n\t<é\u2028"], 1, 12].Select(s => (string?)s));

    // Goal: what Fleet writes it reads, also where a name has to be escaped in JSON.
    [Theory]
    [InlineData("h<1>&'+\"x")]
    [InlineData("hôte-☃")]
    public void An_allocation_of_an_escaped_device_is_read_back(string host)
    {
        var objects = new ObjectTable();
        var device = objects.Intern($"dev:{host}/0000:01:00.0");
        var written = new Operation
        {
            Number = 1,
            Client = objects.Intern($"client:{host}"),
            Device = device,
            Kind = OperationKind.Alloc,
            Outcome = OperationOutcome.Ok,
            At = new(device, 1, 1, 1),
            Alloc = new(device, 1, 7),
        };
        var file = new MemoryStream();
        using (var writer = new HistoryWriter(file, new(), objects))
        {
            writer.Write(written);
        }

        using var reader = new HistoryReader(new MemoryStream(file.ToArray()), objects);
        Assert.True(reader.Read(out var read));
        Assert.Equal(written, read.Operation);
    }

    [Fact]
    public void A_record_read_back_equals_the_one_written()
    {
        var number = Gen.Long[0, 1L << 62];
        var name = Gen.Int[1, 5];
        var at = Gen.Select(
            name, Gen.Int[0, 9], Gen.Long[1, 1 << 40], Gen.Int[0, 9], (o, g, s, l) => new Position(o, g, s, l));
        var events = Gen.Select(
            Gen.Enum<EventKind>().Where(k => k is not EventKind.None), at, number, Gen.ULong, at.Array[0, 3],
            Gen.Enum<Errno>(), Text, Gen.Int[-1, 9],
            (kind, position, n, u, after, err, text, node) =>
                (HistoryRecord)Filled(kind, position, n, u, after, err, text, node));
        var operations = Gen.Select(
            Gen.Enum<OperationKind>().Where(k => k is not OperationKind.None), Gen.Enum<OperationOutcome>(), at, number,
            Gen.ULong, Gen.Enum<Errno>(), Gen.Bool,
            (kind, outcome, position, n, u, err, placed) => (HistoryRecord)new Operation
            {
                Number = n,
                Client = 3,
                Session = 4,
                Device = 1,
                Kind = kind,
                Outcome = outcome,
                Direction = AccessDirection.Read,
                Via = AccessVia.Dma,
                Err = err,
                IntendedNs = n / 2,
                SentNs = n / 2,
                DoneNs = n,
                At = placed ? position : default,
                Alloc = new(1, 2, n),
                Address = u,
                SizeBytes = u,
                Owner = 2,
                Map = 5,
                Pfn = u,
                PageCount = 7,
                Tag = u,
                Of = n,
            });

        Gen.OneOf(events, operations).Array[0, 20].Sample(
            records =>
            {
                var objects = new ObjectTable();
                foreach (var named in new[]
                {
                    "dev:h/0000:01:00.0", "ref:h/0000:01:00.0/bar2", "client:c", "session:s", "map:h/\"odd\"\\né"
                })
                {
                    objects.Intern(named);
                }

                objects.NameProcess(4, "silo \"4\"");
                using var reader = new HistoryReader(new MemoryStream(Written(records, objects)), objects);
                Assert.Equal(records, ReadAll(reader));
                Assert.False(reader.Truncated);
            },
            iter: 2_000);
    }

    [Theory]
    [InlineData("", "line 1: the file is empty")]
    [InlineData("{}", "line 1: no header")]
    [InlineData("[1]", "line 1: no header")]
    [InlineData("not json", "line 1: no header")]
    [InlineData("{\"format\":\"fleet-history\",\"version\":2}", "line 1: \"version\" has to be 1")]
    [InlineData("{\"format\":\"fleet-history\",\"version\":1,\"order\":\"sideways\"}",
        "line 1: \"order\" is 'sideways'; accepted: per-object, total")]
    public void A_bad_header_is_refused(string header, string says)
    {
        var error = Assert.Throws<HistoryFormatException>(() => new HistoryReader(Stream(header), new()));
        Assert.StartsWith(says, error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(
        "{\"ev\":\"explode\",\"obj\":\"dev:h/1\",\"gen\":1,\"seq\":1}", "line 3: 'explode' is no kind of event")]
    [InlineData("{\"ev\":\"bind_end\",\"gen\":1,\"seq\":1}", "line 3: an event has to have \"obj\"")]
    [InlineData("{\"ev\":\"bind_end\",\"obj\":\"dev:h/1\",\"gen\":1}", "line 3: an event has to have \"seq\"")]
    [InlineData(
        "{\"ev\":\"bind_end\",\"obj\":\"dev:h/1\",\"gen\":-1,\"seq\":1}", "line 3: \"gen\" has to be a whole number")]
    [InlineData("{\"ev\":\"bind_end\",\"obj\":\"dev:h/1\",\"gen\":1,\"seq\":99999999999999999999}",
        "line 3: \"seq\" has to be a whole number")]
    [InlineData("{\"ev\":\"bind_end\",\"obj\":\"dev:h/1\",\"gen\":1,\"seq\":1,\"err\":\"EWHAT\"}",
        "line 3: \"err\" is 'EWHAT'; accepted:")]
    [InlineData("{\"ev\":\"bind_end\",\"obj\":\"dev:h/1\",\"gen\":1,\"seq\":1}{", "line 3: not a JSON object")]
    [InlineData("{\"a\":1}", "line 3: a record has to have \"ev\" or \"op\"")]
    [InlineData("", "line 3: the line is empty")]
    [InlineData("[]", "line 3: a record has to be a JSON object")]
    [InlineData("{\"op\":1,\"client\":\"client:c\",\"kind\":\"steal\",\"outcome\":\"ok\"}",
        "line 3: \"kind\" of an operation is 'steal'; accepted:")]
    [InlineData("{\"op\":1,\"client\":\"client:c\",\"kind\":\"free\",\"outcome\":\"maybe\"}",
        "line 3: \"outcome\" is 'maybe'; accepted:")]
    [InlineData("{\"op\":1,\"kind\":\"free\",\"outcome\":\"ok\"}", "line 3: an operation has to have")]
    [InlineData("{\"op\":1,\"client\":\"client:c\",\"kind\":\"free\",\"outcome\":\"ok\",\"sent\":9,\"done\":8}",
        "line 3: \"done\" of an operation lies before \"sent\"")]
    [InlineData("{\"op\":1,\"client\":\"client:c\",\"kind\":\"free\",\"outcome\":\"ok\",\"alloc\":\"x#1\"}",
        "line 3: \"alloc\" has to be the name of an allocation")]
    [InlineData("{\"op\":1,\"client\":\"client:c\",\"kind\":\"free\",\"outcome\":\"ok\",\"addr\":\"zz\"}",
        "line 3: \"addr\" has to be a hexadecimal string")]
    public void A_malformed_line_is_reported_with_its_number_and_reason(string line, string says)
    {
        using var reader = new HistoryReader(Stream($"{Header}\n{Event}\n{line}\n{Event}\n"), new());
        Assert.True(reader.Read(out _));
        var error = Assert.Throws<HistoryFormatException>(() => reader.Read(out _));
        Assert.StartsWith(says, error.Message, StringComparison.Ordinal);
        Assert.Equal(3, error.Line);

        // Nothing after it is trusted.
        Assert.False(reader.Read(out _));
    }

    [Fact]
    public void Hostile_text_reaches_a_message_only_without_its_control_characters()
    {
        using var reader = new HistoryReader(Stream(Header + "\n{\"ev\":\"\\u001b[2J\\u202e\\u0007boom\"}\n"), new());
        var error = Assert.Throws<HistoryFormatException>(() => reader.Read(out _));
        Assert.DoesNotContain(error.Message, char.IsControl);
        Assert.DoesNotContain('\u202e', error.Message);
    }

    [Fact]
    public void Unknown_fields_are_ignored_and_unknown_kinds_only_where_extensions_are_announced()
    {
        var line = """{"ev":"bind_begin","obj":"dev:h/1","gen":1,"seq":1,"more":{"deep":[1,{"x":null}]}}""";
        using var reader = new HistoryReader(Stream($"{Header}\n{line}"), new());
        Assert.Equal(EventKind.BindBegin, Assert.Single(ReadAll(reader)).Event!.Kind);

        var extended = Header.Replace("}", ",\"extensions\":true}", StringComparison.Ordinal);
        using var other = new HistoryReader(
            Stream($"{extended}\n{{\"ev\":\"sparkle\",\"obj\":\"dev:h/1\"}}\n{Event}\n"), new());
        Assert.Single(ReadAll(other));
    }

    [Fact]
    public void A_last_line_that_is_cut_off_makes_the_history_incomplete()
    {
        var bytes = new World().Bind().Bytes();
        using var whole = new HistoryReader(new MemoryStream(bytes), new());
        var records = ReadAll(whole).Count;

        using var reader = new HistoryReader(new MemoryStream(bytes[..^20]), new());
        Assert.Equal(records - 1, ReadAll(reader).Count);
        Assert.True(reader.Truncated);

        var (_, report) = HistoryFile.Check(new MemoryStream(bytes[..^20]), new(), new());
        Assert.False(report.Complete);
        Assert.Equal(RunVerdict.Unknown, report.Verdict);
    }

    [Fact]
    public void A_line_may_have_a_mebibyte_and_not_a_byte_more()
    {
        var padding = new string('x', HistoryReader.LineMax - Event.Length - ",\"pad\":\"\"".Length);
        var longest = Event.Replace("}", $",\"pad\":\"{padding}\"}}", StringComparison.Ordinal);
        Assert.Equal(HistoryReader.LineMax, longest.Length);
        using var reader = new HistoryReader(Stream($"{Header}\n{longest}\n"), new());
        Assert.Single(ReadAll(reader));

        using var other = new HistoryReader(Stream($"{Header}\n{longest} \n"), new());
        Assert.Contains("longer than 1048576 bytes",
            Assert.Throws<HistoryFormatException>(() => ReadAll(other)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_compressed_history_is_read_as_it_is_and_one_that_stops_is_incomplete()
    {
        var world = new World().Bind();
        var packed = new MemoryStream();
        using (var gzip = new GZipStream(packed, CompressionLevel.Fastest, leaveOpen: true))
        {
            gzip.Write(world.Bytes());
        }

        using var reader = new HistoryReader(new MemoryStream(packed.ToArray()), new());
        Assert.Equal(world.Records.Count, ReadAll(reader).Count);

        using var cut = new HistoryReader(new MemoryStream(packed.ToArray()[..(int)(packed.Length * 3 / 4)]), new());
        Assert.True(ReadAll(cut).Count < world.Records.Count);
        Assert.True(cut.Truncated);
    }

    // Goal: whatever the bytes, a verdict or a reason; never another exception.
    // Method: bytes of real histories are flipped, dropped, doubled and swapped.
    [Fact]
    public void Mutated_histories_never_crash_the_reader_or_the_checker() =>
        Gen.Select(Gen.Int[0, PlantedHistories.All.Length - 1], Gen.Bool, Gen.Int).Sample(
            (pair, broken, seed) =>
            {
                var planted = PlantedHistories.All[pair];
                var bytes = Mutated((broken ? planted.Broken : planted.Clean)().Bytes(), new Random(seed));
                try
                {
                    var (_, report) = HistoryFile.Check(
                        new MemoryStream(bytes), new(), new() { RecordsInMemory = 1_000 });
                    Assert.NotNull(report);
                }
                catch (HistoryFormatException e)
                {
                    Assert.InRange(e.Line, 1, bytes.Length);
                    Assert.DoesNotContain(e.Message, char.IsControl);
                }
            },
            iter: 4_000);

    private static byte[] Mutated(byte[] bytes, Random random)
    {
        var list = bytes.ToList();
        for (var i = random.Next(1, 6); i > 0; i--)
        {
            var at = random.Next(list.Count);
            switch (random.Next(6))
            {
                case 0: list[at] = (byte)random.Next(256); break;
                case 1: list.RemoveRange(at, Math.Min(random.Next(1, 30), list.Count - at)); break;
                case 2: list.InsertRange(at, list.GetRange(at, Math.Min(random.Next(1, 300), list.Count - at))); break;
                case 3: list.InsertRange(at, "99999999999999999999"u8.ToArray()); break;
                case 4: list[at] = (byte)"{}[]\",:0-\n\\"[random.Next(11)]; break;
                default: list.InsertRange(at, "\u001b[31m\0"u8.ToArray()); break;
            }

            if (list.Count == 0)
            {
                list.Add((byte)'{');
            }
        }

        return [.. list];
    }

    private static HistoryEvent Filled(
        EventKind kind, Position at, long n, ulong u, Position[] after, Errno err, string? text, int node)
    {
        var record = new HistoryEvent
        {
            Kind = kind,
            At = at,
            Proc = 4,
            TimeNs = n,
            Actor = text,
            Err = err,
            After = after
        };
        foreach (var (_, field) in EventFields.Of(kind))
        {
            record = field switch
            {
                EventField.Other => record with { Other = 2 },
                EventField.Start => record with { Start = u },
                EventField.SizeBytes => record with { SizeBytes = u },
                EventField.Pfn => record with { Pfn = u },
                EventField.Count => record with { Count = n },
                EventField.Node => record with { Node = node },
                EventField.Fn => record with { Fn = text },
                EventField.Text => record with { Text = text },
                EventField.Alloc => record with { Alloc = new(1, 3, n) },
                _ => record,
            };
        }

        return record;
    }

    private static byte[] Written(IEnumerable<HistoryRecord> records, ObjectTable objects)
    {
        var file = new MemoryStream();
        using (var writer = new HistoryWriter(file, new() { Run = "r" }, objects))
        {
            foreach (var record in records)
            {
                writer.Write(record);
            }
        }

        return file.ToArray();
    }

    private static List<HistoryRecord> ReadAll(HistoryReader reader)
    {
        var records = new List<HistoryRecord>();
        while (reader.Read(out var record))
        {
            records.Add(record);
        }

        return records;
    }

    private static MemoryStream Stream(string text) => new(Encoding.UTF8.GetBytes(text));
}
