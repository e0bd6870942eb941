using System.IO.Compression;
using System.Text;
using Fleet.Checking.History;
using Fleet.Checking.Tests.Rules;
using Fleet.Kernel.History;
using Xunit.Abstractions;

namespace Fleet.Checking.Tests.History;

/// <summary>Whatever a history says, the answer is a verdict, or a refusal with the number of the line.</summary>
/// <remarks>
/// FLEET_FUZZ_LINES says how many lines are mutated (100,000 when it is not set), FLEET_FUZZ_SEED where to begin.
/// A failure prints its seed; that seed alone repeats it.
/// </remarks>
[Trait("tier", "fast")]
public sealed class HistoryFuzzTests(ITestOutputHelper output)
{
    // Seeds that found a crash with the histories of their day; tried first.
    private static readonly int[] Known = [53, 898, 1410663];

    private static readonly byte[][][] Histories =
        [.. PlantedHistories.All.SelectMany(p => new[] { p.Broken(), p.Clean() }).Select(w => Lines(w.Bytes()))];

    private static readonly byte[][] Splices =
    [
        .. new[]
        {
            "-1", "9223372036854775807", "-9223372036854775808", "18446744073709551615", "18446744073709551616",
            "1e400",
            "1.5", "0x", "\"0xffffffffffffffff\"", "null", "true", "{}", "[]", "[{}]", "\"\"", "\"\\ud800\"",
            "\"\\u0000\"",
            "\u001b[31m\u202e", "{\"obj\":\"dev:x\",\"gen\":1,\"seq\":1}", "\"dev:\"", "\"ref:\"", "\"map:/\"",
            "\"dev:h1/0000:01:00.0\"", "\"a#b#c\"", "\"dev:h#1#2#3\"", ",", ":", "\"", "}", "]", "\\", "\n", "\r\n",
            "\"after\":[],", "\"ev\":\"unbind_end\",", "\"op\":1,", "\"kind\":\"free\",", "\"seq\":0,", "\"gen\":0,",
            "\"gen\":2147483647,", "\"seq\":9223372036854775807,", "\"sent\":9223372036854775807,",
            "\"done\":-9223372036854775808,", "\"count\":2147483647,", "\"size\":18446744073709551615,",
            "\"start\":\"0xffffffffffffffff\",", "\"addr\":\"0xffffffffffffffff\",",
        }.Select(Encoding.UTF8.GetBytes),
        [0xff, 0xfe], [0xc3], [0xe2, 0x82], [0xf0, 0x9f], [0], [0x1f, 0x8b],
        Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat("[", 200))),
        Encoding.UTF8.GetBytes(string.Concat(Enumerable.Repeat("{\"a\":", 100))),
        Encoding.UTF8.GetBytes(new string('9', 400)),
        Encoding.UTF8.GetBytes($"\"{new string('x', 2000)}\""),
    ];

    [Fact]
    public void No_mutated_line_crashes_the_reader_or_the_judge()
    {
        var wanted = long.TryParse(Environment.GetEnvironmentVariable("FLEET_FUZZ_LINES"), out var set) ? set : 100_000;
        var seed = int.TryParse(Environment.GetEnvironmentVariable("FLEET_FUZZ_SEED"), out var given) ? given : 1;
        var (lines, judged, refused) = (0L, 0L, 0L);
        foreach (var known in Known)
        {
            Try(known, ref lines, ref judged, ref refused);
        }

        for (; lines < wanted; seed++)
        {
            Try(seed, ref lines, ref judged, ref refused);
        }

        output.WriteLine($"{lines} lines mutated; {judged} histories judged, {refused} refused by a line.");
        Assert.True(judged > 0 && refused > 0);
    }

    private static void Try(int seed, ref long lines, ref long judged, ref long refused)
    {
        var file = Mutated(new(seed), out var mutated);
        lines += mutated;
        try
        {
            using var stream = new MemoryStream(file);
            var (_, report) = HistoryFile.Check(stream, new ObjectTable(), new());
            Assert.True(report.ExitCode is 0 or 1 or 2 or 4, $"seed {seed}: exit {report.ExitCode}");
            judged++;
        }
        catch (HistoryFormatException e)
        {
            Assert.True(
                e.Line >= 1 && e.Message.StartsWith($"line {e.Line}: ", StringComparison.Ordinal)
                && e.Message.Length < 2000 && !e.Message.Any(char.IsControl),
                $"seed {seed}: {e.Message}");
            refused++;
        }
        catch (Exception e) when (e is not Xunit.Sdk.XunitException)
        {
            Assert.Fail($"FLEET_FUZZ_SEED={seed} FLEET_FUZZ_LINES=1 repeats it: {e}");
        }
    }

    /// <summary>A planted history with some lines changed; now and then compressed, and the archive broken.</summary>
    private static byte[] Mutated(Random random, out int mutated)
    {
        var lines = Histories[random.Next(Histories.Length)].ToList();
        // Half of them keep their form, so that what they say gets as far as the rules.
        var keepsForm = random.Next(2) == 0;
        mutated = random.Next(1, keepsForm ? 48 : 4);
        for (var i = 0; i < mutated; i++)
        {
            var at = random.Next(random.Next(8) == 0 ? 0 : 1, lines.Count);
            switch (random.Next(keepsForm ? 4 : 9))
            {
                case 0: lines[at] = OtherNumber(lines[at], random); break;
                case 1: lines[at] = OtherNumber(OtherNumber(lines[at], random), random); break;
                case 2: (lines[at], lines[^1]) = at == 0 ? (lines[at], lines[^1]) : (lines[^1], lines[at]); break;
                case 3: lines.Insert(at == 0 ? 1 : at, lines[Math.Max(1, random.Next(lines.Count))]); break;
                case 4: lines[at] = [.. lines[at][..random.Next(lines[at].Length + 1)]]; break;
                case 5: lines[at] = With(lines[at], random.Next(lines[at].Length + 1), 0, Splice(random)); break;
                case 6:
                    var from = random.Next(lines[at].Length + 1);
                    lines[at] = With(lines[at], from, random.Next(lines[at].Length - from + 1), Splice(random));
                    break;
                case 7: lines[at] = OtherValue(lines[at], random); break;
                default:
                    lines[at] = [.. lines[at]];
                    for (var n = random.Next(1, 4); n > 0 && lines[at].Length > 0; n--)
                    {
                        lines[at][random.Next(lines[at].Length)] = (byte)random.Next(256);
                    }

                    break;
            }
        }

        var file = new MemoryStream();
        foreach (var line in lines)
        {
            file.Write(line);
            file.WriteByte((byte)'\n');
        }

        var bytes = file.ToArray();
        if (random.Next(16) != 0)
        {
            return random.Next(16) == 0 ? bytes[..random.Next(bytes.Length)] : bytes;
        }

        var packed = new MemoryStream();
        using (var gzip = new GZipStream(packed, CompressionLevel.Fastest, leaveOpen: true))
        {
            gzip.Write(bytes);
        }

        var archive = packed.ToArray();
        if (random.Next(2) == 0)
        {
            archive[random.Next(2, archive.Length)] ^= (byte)random.Next(1, 256);
        }

        return archive[..(random.Next(2) == 0 ? archive.Length : random.Next(archive.Length))];
    }

    private static byte[] Splice(Random random) => Splices[random.Next(Splices.Length)];

    private static byte[] With(byte[] line, int from, int length, byte[] splice) =>
        [.. line.AsSpan(0, from), .. splice, .. line.AsSpan(from + length)];

    /// <summary>Puts another number where one stands: small ones and the ends of the ranges.</summary>
    private static byte[] OtherNumber(byte[] line, Random random)
    {
        var colons = Enumerable.Range(1, Math.Max(0, line.Length - 2))
            .Where(i => line[i] == ':' && char.IsAsciiDigit((char)line[i + 1]) && line[i - 1] == '"').ToList();
        if (colons.Count == 0)
        {
            return line;
        }

        var from = colons[random.Next(colons.Count)] + 1;
        var length = 0;
        while (from + length < line.Length && char.IsAsciiDigit((char)line[from + length]))
        {
            length++;
        }

        var number = random.Next(6) switch
        {
            0 => "0",
            1 => "9223372036854775807",
            2 => "2147483647",
            _ => random.Next(1, 60).ToString(),
        };
        return With(line, from, length, Encoding.ASCII.GetBytes(number));
    }

    /// <summary>Puts something else where a value stands.</summary>
    private static byte[] OtherValue(byte[] line, Random random)
    {
        var colons = Enumerable.Range(1, Math.Max(0, line.Length - 1))
            .Where(i => line[i] == ':' && line[i - 1] == '"').ToList();
        if (colons.Count == 0)
        {
            return line;
        }

        var from = colons[random.Next(colons.Count)] + 1;
        var end = line.AsSpan(from).IndexOfAny((byte)',', (byte)'}');
        return With(line, from, Math.Max(0, end), Splice(random));
    }

    private static byte[][] Lines(byte[] file) =>
        [.. Encoding.UTF8.GetString(file).Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Select(Encoding.UTF8.GetBytes)];
}
