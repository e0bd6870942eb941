using System.CommandLine;
using Fleet.Kernel.Vectors;
using Spectre.Console;

namespace Fleet.Client.Commands;

/// <summary><c>fleet vectors</c>: replays recorded behaviour of the real kernel code on the primitives.</summary>
internal static class VectorsCommand
{
    /// <summary>Lines of a recording are short; a longer file is none.</summary>
    private const long FileBytesMax = 64L << 20;

    private const string Accepted = "a directory that holds recordings, *.jsonl, at any depth";

    public static Command Create(Terminal terminal)
    {
        var directory = new Argument<string>(
            "DIR")
        { Description = "Directory with recordings (*.jsonl), searched to any depth." };
        var json = CommonOptions.Json();
        var command = new Command(
            "vectors", "Replays recordings of the real kernel code on the primitives, and compares.")
        {
            directory,
            json,
        };
        command.SetAction(parsed => Replay(terminal, parsed.GetRequiredValue(directory), parsed.GetValue(json)));
        return command;
    }

    private static int Replay(Terminal terminal, string directory, bool asJson)
    {
        var results = FilesOf(directory)
            .Select(file => (File: Path.GetRelativePath(directory, file), Result: ReplayFile(file))).ToList();
        var differing = results.Count(one => one.Result.Verdict is VectorVerdict.Differs);
        var skipped = results.Count(one => one.Result.Verdict is VectorVerdict.Skipped);
        var agreeing = results.Count - differing - skipped;
        var operations = results.Sum(one => (long)one.Result.Operations);
        var exit = differing > 0 ? ExitCode.Invalid : agreeing == 0 ? ExitCode.Unknown : ExitCode.Valid;
        if (asJson)
        {
            terminal.WriteJson(new
            {
                directory,
                files = results.Count,
                agree = agreeing,
                differ = differing,
                skipped,
                operations,
                exitCode = exit,
                exceptions = results.Where(one => one.Result.Verdict is not VectorVerdict.Agrees)
                    .Select(one =>
                        new { file = one.File, verdict = one.Result.Verdict, sentence = SentenceOf(one.Result) }),
            });
            return exit;
        }

        foreach (var (file, result) in results.Where(one => one.Result.Verdict is not VectorVerdict.Agrees))
            terminal.Say($"{ForeignText.Clean(file)}: {SentenceOf(result)}");

        var table = new Table { Border = TableBorder.Simple };
        table.AddColumns("folder", "files", "agree", "differ", "skipped", "operations");
        foreach (var folder in results.GroupBy(one => Path.GetDirectoryName(one.File) ?? ""))
        {
            table.AddRow(
                Terminal.Safe(folder.Key.Length == 0 ? "." : folder.Key),
                $"{folder.Count()}",
                $"{folder.Count(one => one.Result.Verdict is VectorVerdict.Agrees)}",
                $"{folder.Count(one => one.Result.Verdict is VectorVerdict.Differs)}",
                $"{folder.Count(one => one.Result.Verdict is VectorVerdict.Skipped)}",
                $"{folder.Sum(one => one.Result.Operations)}");
        }

        terminal.Screen.Write(table);
        terminal.Say(
            $"{agreeing} of {results.Count} recordings agree, {differing} differ, {skipped} skipped; {operations} "
            + $"operations compared.");
        return exit;
    }

    private static List<string> FilesOf(string directory)
    {
        if (!Directory.Exists(directory))
            throw new UsageException($"{ForeignText.Quote(directory)} is not a directory; accepted: {Accepted}.");

        try
        {
            var files = Directory.EnumerateFiles(directory, "*.jsonl", SearchOption.AllDirectories)
                .Order(StringComparer.Ordinal).ToList();
            return files.Count > 0
                ? files
                : throw new UsageException($"{ForeignText.Quote(directory)} holds no recording; accepted: {Accepted}.");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UsageException(
                $"{ForeignText.Quote(directory)} cannot be read ({ForeignText.Clean(e.Message)}); accepted: "
                + $"{Accepted}.", e);
        }
    }

    private static VectorResult ReplayFile(string file)
    {
        try
        {
            return new FileInfo(file).Length <= FileBytesMax
                ? VectorReplay.Replay(File.ReadLines(file))
                : new(VectorVerdict.Skipped, "", 0, Reason: $"The file is larger than {FileBytesMax >> 20} MiB.");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return new(VectorVerdict.Skipped, "", 0, Reason: $"It cannot be read ({ForeignText.Clean(e.Message)}).");
        }
    }

    private static string SentenceOf(VectorResult result) => ForeignText.Clean(
        result.Difference is { } difference
            ? $"differs at operation {difference.Operation} ({difference.Name}): {difference.Field} is "
            + $"{difference.Got}, "
                + $"recorded was {difference.Expected}."
            : $"skipped: {result.Reason}",
        1000);
}
