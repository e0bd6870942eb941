using System.Globalization;
using System.Text;
using System.Text.Json;
using Fleet.Checking.Exports;
using Fleet.Checking.History;
using Fleet.Checking.Tests.Rules;
using Fleet.Kernel.History;

namespace Fleet.Checking.Tests.Exports;

/// <summary>What is written for other checkers is read back and says the same.</summary>
[Trait("tier", "fast")]
public sealed class ExportTests
{
    public static TheoryData<int> Histories()
    {
        var data = new TheoryData<int>();
        for (var i = 0; i < PlantedHistories.All.Length; i++)
        {
            data.Add(i);
        }

        return data;
    }

    // Goal: Jepsen's rules hold: every invocation has one completion, a process does one thing at a time, and is never
    // heard of again after an :info; and nothing of an operation is lost.
    [Theory]
    [MemberData(nameof(Histories))]
    public void Edn_is_read_back(int pair)
    {
        var world = Overlapping(PlantedHistories.All[pair].Broken());
        var lines = Edn.Lines(Written(stream => JepsenEdn.Write(stream, world.Records, world.Objects)));

        var open = new Dictionary<string, Dictionary<string, object?>>();
        var dead = new HashSet<string>();
        var (index, time) = (0L, long.MinValue);
        var seen = new HashSet<long>();
        foreach (var line in lines)
        {
            Assert.Equal(index++, line["index"]);
            Assert.True((long)line["time"]! >= time);
            time = (long)line["time"]!;
            var process = Convert.ToString(line["process"], CultureInfo.InvariantCulture)!;
            if (process == ":nemesis")
            {
                Assert.Equal(":info", line["type"]);
                continue;
            }

            Assert.DoesNotContain(process, dead);
            if ((string)line["type"]! == ":invoke")
            {
                Assert.True(open.TryAdd(process, line), "a process does one thing at a time");
                continue;
            }

            Assert.True(open.Remove(process, out var call));
            var (asked, answer) = (Value(call!), Value(line));
            Assert.Equal(asked["op"], answer["op"]);
            var op = world.Records.Single(r => r.Event is null && r.Operation.Number == (long)asked["op"]!).Operation;
            Assert.True(seen.Add(op.Number));
            Assert.Equal(op.SentNs, call!["time"]);
            Assert.Equal(world.Objects.Name(op.Device), asked["dev"]);
            Assert.Equal(
                op.Outcome switch { OperationOutcome.Ok => ":ok", OperationOutcome.Fail => ":fail", _ => ":info" },
                line["type"]);
            if (op.Outcome is OperationOutcome.Unknown)
            {
                dead.Add(process);
                continue;
            }

            Assert.Equal(op.DoneNs, line["time"]);
            Assert.Equal(op.Err is Kernel.Errno.OK ? null : $":{op.Err}", line.GetValueOrDefault("error"));
            Assert.Equal(op.Address == 0 ? null : (long)op.Address, answer.GetValueOrDefault("addr"));
            Assert.Equal(op.At.Seq, ((Dictionary<string, object?>)answer["at"]!)["seq"]);
        }

        Assert.Empty(open);
        Assert.Equal(world.Records.Count(r => r.Event is null), seen.Count);
    }

    [Theory]
    [MemberData(nameof(Histories))]
    public void Porcupine_is_read_back(int pair)
    {
        var world = Overlapping(PlantedHistories.All[pair].Broken());
        var json = JsonDocument.Parse(
            Written(stream => PorcupineJson.Write(stream, world.Records, world.Objects))).RootElement;

        var operations = world.Records.Where(r => r.Event is null).Select(r => r.Operation).ToDictionary(o => o.Number);
        Assert.Equal(operations.Count, json.GetArrayLength());
        var last = new Dictionary<int, long>();
        foreach (var one in json.EnumerateArray())
        {
            var (input, output) = (one.GetProperty("Input"), one.GetProperty("Output"));
            var op = operations[input.GetProperty("op").GetInt64()];
            var (client, call, returned) = (one.GetProperty("ClientId").GetInt32(), one.GetProperty("Call").GetInt64(),
                one.GetProperty("Return").GetInt64());
            Assert.True(call <= returned);
            Assert.True(
                !last.TryGetValue(client, out var before) || before < call, "a client does one thing at a time");
            last[client] = returned;
            Assert.Equal(op.SentNs, call);
            Assert.Equal(world.Objects.Name(op.Device), input.GetProperty("dev").GetString());
            if (op.Outcome is OperationOutcome.Unknown)
            {
                Assert.True(output.GetProperty("unknown").GetBoolean());
                Assert.True(returned > operations.Values.Max(o => o.DoneNs));
                continue;
            }

            Assert.Equal(op.DoneNs, returned);
            Assert.Equal(op.Outcome is OperationOutcome.Ok, output.GetProperty("ok").GetBoolean());
            if (op.Kind is OperationKind.Alloc && op.Address != 0)
            {
                Assert.Equal(op.Address, output.GetProperty("addr").GetUInt64());
            }
        }
    }

    [Fact]
    public void Hostile_names_are_read_back_as_they_are()
    {
        const string hostile = "a\"b\\c\n\u001b[31m;{:x 1} ü☃";
        var objects = new ObjectTable();
        var device = objects.Intern($"dev:{hostile}/0000:01:00.0");
        HistoryRecord[] records =
        [
            new Operation
            {
                Number = 1, Kind = OperationKind.Alloc, Outcome = OperationOutcome.Ok, Device = device, SentNs = 1,
                DoneNs = 2, Client = objects.Intern("client:c"), Address = ulong.MaxValue, At = new(device, 1, 1, 1),
            },
            new HistoryEvent { Kind = EventKind.Inject, At = new(device, 1, 2, 1), Fn = hostile },
        ];

        var lines = Edn.Lines(Written(stream => JepsenEdn.Write(stream, records, objects)));
        var porcupine = JsonDocument.Parse(Written(stream => PorcupineJson.Write(stream, records, objects)));

        Assert.Equal($"dev:{hostile}/0000:01:00.0", Value(lines[^1])["dev"]);
        Assert.Equal("18446744073709551615N", Value(lines[^1])["addr"]);
        Assert.Contains(lines, l => l["process"] is ":nemesis" && Equals(Value(l)["fn"], hostile));
        Assert.Equal(
            $"dev:{hostile}/0000:01:00.0",
            porcupine.RootElement[0].GetProperty("Input").GetProperty("dev").GetString());
    }

    private static Dictionary<string, object?> Value(Dictionary<string, object?> line) =>
        (Dictionary<string, object?>)line["value"]!;

    /// <summary>Adds operations of the same client that overlap, and one that nobody answered.</summary>
    private static World Overlapping(World world)
    {
        for (var i = 0; i < 3; i++)
        {
            var op = world.Operation(OperationKind.Query, new(world.Id(World.Device), 1, 10_000 + i, 1));
            world.Records.Add(op with { SentNs = 5 + i, DoneNs = 5_000 });
        }

        world.Unanswered(OperationKind.Free, new(world.Id(World.Device), 1, 99));
        world.Records.Add(world.Operation(OperationKind.Query, new(world.Id(World.Device), 1, 10_009, 1)));
        return world;
    }

    private static string Written(Action<Stream> write)
    {
        var stream = new MemoryStream();
        write(stream);
        return Encoding.UTF8.GetString(stream.ToArray());
    }
}
