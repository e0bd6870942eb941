using System.Text.Json.Nodes;
using Fleet.Kernel.Vectors;
using Fleet.Tests;

namespace Fleet.Kernel.Tests.Vectors;

[Trait("tier", "fast")]
public sealed class VectorReplayTests
{
    private const string Header = """{"kind":"genalloc","name":"made","min_alloc_order":12,"algo":"first_fit"}""";

    private static readonly string[] Inputs =
    [
        "op", "virt", "phys", "size", "nid", "algo", "align", "offset", "addr", "start",
        "fn", "data", "fail", "id", "rel", "val", "match", "flags", "cpu", "nr", "confirm",
    ];

    // Goal: the primitives behave as the compiled kernel code did, bit for bit.
    // Method: every recording is replayed, misuse, blocking, raw and quirk files included; none may be skipped.
    [SharedFact("vectors")]
    public void Every_recorded_vector_agrees()
    {
        var files = Files();
        var bad = files
            .Select(file => VectorReplay.Replay(File.ReadLines(file)))
            .Where(result => result.Verdict is not VectorVerdict.Agrees)
            .Select(result => result.ToString())
            .ToList();
        Assert.True(bad.Count == 0, $"{bad.Count} of {files.Length} recordings:\n{string.Join('\n', bad)}");
    }

    // Goal: an agreement means something: no recorded result is passed over.
    // Method: in each recording one result of one operation is changed; the replay must stop there and name it.
    [SharedFact("vectors")]
    public void A_changed_result_is_found_where_it_was_changed()
    {
        foreach (var file in Files())
        {
            var lines = File.ReadAllLines(file);
            var number = Math.Max(1, lines.Length / 2);
            var record = JsonNode.Parse(lines[number])!.AsObject();
            var results = record.Select(pair => pair.Key)
                .Where(field => !Inputs.Contains(field) && !((string?)record["op"] == "add_owner" && field == "owner"));
            foreach (var field in results)
            {
                var changed = record.DeepClone().AsObject();
                changed[field] = "changed";
                lines[number] = changed.ToJsonString();
                var result = VectorReplay.Replay(lines);
                Assert.Equal(VectorVerdict.Differs, result.Verdict);
                Assert.Equal((number, field, "\"changed\""), (
                    result.Difference!.Operation, result.Difference.Field, result.Difference.Expected));
                Assert.Equal(number - 1, result.Operations);
            }
        }
    }

    [Fact]
    public void A_warning_that_was_not_recorded_is_a_difference()
    {
        var result = VectorReplay.Replay(
        [
            """{"kind":"devres","name":"made"}""",
            """{"op":"remove_action","fn":1,"data":2,"ran":[]}""",
        ]);
        Assert.Equal(new VectorDifference(1, "remove_action", "warn", "absent", "1"), result.Difference);
    }

    [Theory]
    [InlineData("There is no header", "")]
    [InlineData("names no known kind", """{"kind":"slab"}""")]
    [InlineData("header is not a JSON object", "[1]")]
    [InlineData("not in the form of a recording", "kind")]
    [InlineData("\"min_alloc_order\" is missing", """{"kind":"genalloc"}""")]
    [InlineData("\"min_alloc_order\" is 64, not 0 to 63", """{"kind":"genalloc","min_alloc_order":64}""")]
    [InlineData("\"cpus\" is missing", """{"kind":"percpu_ref"}""")]
    [InlineData("not known for this kind: \"grow\"", Header, """{"op":"grow"}""")]
    [InlineData("\"size\" is missing", Header, """{"op":"alloc"}""")]
    [InlineData("\"size\" is 12", Header, """{"op":"alloc","size":"12"}""")]
    [InlineData("\"x\" is no algorithm", Header, """{"op":"set_algo","algo":"x"}""")]
    [InlineData("\"cpu\" is 9", """{"kind":"percpu_ref","cpus":4}""", """{"op":"get","cpu":9}""")]
    [InlineData("no flag of init", """{"kind":"percpu_ref","cpus":4}""", """{"op":"init","flags":["x"]}""")]
    public void What_is_no_recording_is_skipped_with_a_reason(string reason, params string[] lines)
    {
        var result = VectorReplay.Replay(lines);
        Assert.Equal(VectorVerdict.Skipped, result.Verdict);
        Assert.Contains(reason, result.Reason, StringComparison.Ordinal);
    }

    private static string[] Files()
    {
        string[] files =
            [.. Directory.GetFiles(SharedFolder.Of("vectors"), "*.jsonl", SearchOption.AllDirectories).Order()];
        Assert.NotEmpty(files);
        return files;
    }
}
