using System.Xml.Linq;

namespace Fleet.Architecture.Tests;

/// <summary>The checkout that these tests were built from.</summary>
internal static class Repository
{
    public static string Root { get; } = FindRoot();

    /// <summary>Source and text files that are kept, build output left out.</summary>
    public static IEnumerable<string> Files(params string[] extensions) =>
        Directory.EnumerateFiles(Root, "*", SearchOption.AllDirectories)
            .Where(path => extensions.Contains(Path.GetExtension(path)))
            .Where(path => !Path.GetRelativePath(Root, path).Split('/')
                .Any(part => part is "bin" or "obj" or ".git" or "fleet-results" or "TestResults"));

    public static IEnumerable<(string Name, XDocument Document)> Projects() =>
        Files(".csproj").Select(path => (Path.GetFileNameWithoutExtension(path), XDocument.Load(path)));

    private static string FindRoot()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "Fleet.sln")))
        {
            folder = folder.Parent;
        }

        return folder?.FullName ?? throw new InvalidOperationException("Fleet.sln is in no folder above the tests.");
    }
}
